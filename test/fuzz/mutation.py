"""Makes hostile inputs of valid ones: bytes, JSON or one file of several, with something wrong in it."""

from __future__ import annotations

import copy
import json
import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

from test.fuzz.target import LONGEST_INPUT, Mutate

NUMBERS = (0, 1, 2, 7, 8, 127, 128, 255, 256, 4096, 2**15, 2**16 - 1, 2**16, 2**20, 2**31 - 1, 2**31, 2**32 - 1)
LONG_NUMBERS = (*NUMBERS, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
_FORMS = ("<B", "<H", ">H", "<I", ">I", "<Q", ">Q", "<d", "<f")
_MOST_CHANGES = 4
_DEEPEST = 60


class Raw(str):
    """A piece of text that is written into JSON as it is."""


class Pairs(list[list[Any]]):
    """A JSON object as pairs of key and value, so that a key can be there twice."""


_DEEP = (33, 100, 2000)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 8, 0.5, -0.0, 1e-320, 1e308, -1e30, 2**16, 2**31, 2**53 + 1, 2**63, 2**64,
    10**400,
    "", " ", "a", "0", "1e5", "act", "None", "..", "../x", "/etc/hostname", "a\0b", "a\nb", "\x1b[2J", "\ud800",
    "ä" * 40,
    "x" * 5000, "{0.__class__}", "%s%n", [], [[]], [0], [1, 2, 3], ["a", "a"], list(range(300)), Pairs(),
    Pairs([["a", 1], ["a", 2]]), Pairs([["type", "STATE"], ["shape", [2]]]), Raw("NaN"), Raw("-Infinity"), Raw("1e400"),
    Raw("1" * 5000), Raw("-"), Raw("01"), Raw("tru"), Raw(""), *(Raw("[" * n + "]" * n) for n in _DEEP),
    *(Raw('{"a":' * n + "0" + "}" * n) for n in _DEEP),
)  # fmt: skip


def bytes_mutation(data: bytes, random: random.Random, tokens: Sequence[bytes] = ()) -> bytes:
    """The bytes with one to four things wrong: overwritten, put in, left out, repeated, cut off."""
    changed = bytearray(data)
    for _ in range(random.randint(1, _MOST_CHANGES)):
        place = random.randrange(len(changed) + 1)
        length = min(random.choice((1, 1, 2, 4, 8, random.randrange(1, 65))), len(changed))
        match random.randrange(8):
            case 0 if place < len(changed):
                changed[place] ^= 1 << random.randrange(8)
            case 1:
                changed[place : place + 1] = bytes([random.randrange(256)])
            case 2:
                number = _number(random)
                changed[place : place + len(number)] = number
            case 3:
                del changed[place : place + length]
            case 4:
                changed[place:place] = random.randbytes(length)
            case 5:
                source = random.randrange(len(changed) + 1)
                changed[place:place] = changed[source : source + length]
            case 6 if tokens:
                token = random.choice(tokens)
                changed[place : place + (random.random() < 0.5) * len(token)] = token
            case _ if random.random() < 0.15:
                del changed[place:]
    return bytes(changed[:LONGEST_INPUT])


def _number(random: random.Random) -> bytes:
    form = random.choice(_FORMS)
    if form in ("<d", "<f"):
        return struct.pack(form, random.choice((0.0, -1.0, 1e30, float("inf"), float("nan"))))
    bits = 8 * struct.calcsize(form)
    return struct.pack(form, random.choice(LONG_NUMBERS) % 2**bits)


def json_mutation(text: bytes, random: random.Random, values: Sequence[Any] = VALUES) -> bytes:
    """The JSON text with one to four values or keys exchanged, left out or repeated; as bytes, where it is no JSON."""
    try:
        root = json.loads(text, object_pairs_hook=lambda pairs: Pairs(map(list, pairs)))
        copy.deepcopy(root)
    except (ValueError, RecursionError):
        return bytes_mutation(text, random)
    box = [root]
    for _ in range(random.choice((1, 1, 1, 2, 3, _MOST_CHANGES))):
        places = _places(box)
        if not places:
            break
        holder, key = random.choice(places)
        _change(holder, key, places, random, values)
    return json_text(box[0] if box else Raw("")).encode("utf-8", "surrogatepass")[:LONGEST_INPUT]


def _places(holder: list[Any], depth: int = 0) -> list[tuple[list[Any], int]]:
    """Every value that does not lie too deep: the list that holds it, and where. For an object that is a pair."""
    found = []
    for index, value in enumerate(holder):
        found.append((holder, index))
        inside = value[1] if isinstance(holder, Pairs) else value
        if isinstance(inside, list) and depth < _DEEPEST:
            found += _places(inside, depth + 1)
    return found


def _change(
    holder: list[Any], key: int, places: Sequence[tuple[list[Any], int]], random: random.Random, values: Sequence[Any]
) -> None:
    if key >= len(holder):  # it went with an earlier change
        return
    is_pair = isinstance(holder, Pairs)
    other_holder, other = random.choice(places)
    taken = other_holder[other] if other < len(other_holder) else None
    # A copy, for a list must not come to lie within itself.
    other_value = copy.deepcopy(taken[1] if isinstance(other_holder, Pairs) and taken is not None else taken)
    match random.randrange(8):
        case 0:
            del holder[key]
        case 1:
            holder.insert(key, copy.deepcopy(holder[key]))
        case 2 if is_pair:
            word = taken[0] if isinstance(other_holder, Pairs) and taken is not None else random.choice(values)
            holder[key] = [word if isinstance(word, str) else "", holder[key][1]]
        case 3 if is_pair:
            holder[key] = [holder[key][0], other_value]
        case 3:
            holder[key] = other_value
        case 4:
            value = holder[key][1] if is_pair else holder[key]
            value = _nearly(value, random)
            holder[key] = [holder[key][0], value] if is_pair else value
        case _:
            value = copy.deepcopy(random.choice(values))  # it may be changed, too
            holder[key] = [holder[key][0], value] if is_pair else value


def _nearly(value: Any, random: random.Random) -> Any:
    """A value that differs little."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, (int, float)):
        near = (value + 1, value - 1, -value, value * 2, value / 2 if abs(value) < 2**64 else 0, str(value)[:50])
        return random.choice((*near, random.choice(LONG_NUMBERS)))
    if isinstance(value, str) and not isinstance(value, Raw):
        return bytes_mutation(value.encode("utf-8", "replace"), random).decode("utf-8", "surrogateescape")[:2000]
    return [value]


def json_text(value: Any, depth: int = 0) -> str:
    """JSON of a value in which `Raw` and `Pairs` stand for what no library writes."""
    if isinstance(value, Raw):
        return str(value)
    if depth > _DEEPEST:
        return "0"
    if isinstance(value, Pairs):
        pairs = (f"{json_text(key, depth + 1)}: {json_text(each, depth + 1)}" for key, each in value)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(json_text(each, depth + 1) for each in value) + "]"
    if isinstance(value, int) and abs(value) > 2**64:
        return "1" + "0" * 400
    try:
        text = json.dumps(value, ensure_ascii=False)
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def one_of(*mutations: Callable[[bytes, random.Random], bytes]) -> Mutate:
    """Use one of these, by chance; name one twice to have it twice as often."""
    return lambda data, random: random.choice(mutations)(data, random)


def with_selector(mutate: Sequence[Mutate]) -> Mutate:
    """For inputs whose first byte says which file the others are: change the others with the file's own mutation."""

    def changed(data: bytes, random: random.Random) -> bytes:
        if not data:
            return bytes([random.randrange(len(mutate))])
        kind = data[0] % len(mutate)
        return data[:1] + mutate[kind](data[1:], random)

    return changed
