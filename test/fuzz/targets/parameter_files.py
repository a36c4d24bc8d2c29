"""Target: the parameter file of the node, with YAML's own ways of asking for too much."""

from __future__ import annotations

import json
import random
from pathlib import Path

import yaml

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.robot.parameter_file import parameter_file_text, read_configuration, why_nothing_applies
from act_inference_ros.robot.plain_yaml import check_plain
from test.fuzz.mutation import bytes_mutation, json_mutation, one_of
from test.fuzz.target import LONGEST_INPUT, Target

_CONFIG = Path(__file__).parents[3] / "config"
_TOKENS = [
    token.encode()
    for token in (
        "&a ", "*a", "<<: *a\n", "!!python/object:os.system ", "!!int ", "!!float ", "!!timestamp ", "!!binary ",
        "!!set ",
        "!!omap ", "!!pairs ", "!!null ", "!!bool ", "!!str ", "!!map ", "!!seq ", "2001-99-99", "0x", "0b", "0o7",
        "1_0e5",
        "1:99:99.9", "1__e9", "_1e5", "1e999", ".inf", ".nan", "~", "? ", "- ", ": ", "|\n", ">\n", "---\n", "...\n",
        "%YAML 1.2\n",
        "# ", "{", "}", "[", "]", "'", '"', "\t", "\x85", "???", "[[[[", "{{{{", "/**:\n", "/**/policy_node:\n",
        "  ros__parameters:\n", "policy_node", "**", "/**" * 12, "*", "@", "`", "\\ud800", "=", "y", "on", "0777",
        "1e5", "+1E-3",
    )
]  # fmt: skip


def parameter_file(directory: Path) -> Target:
    """The demo's file, without what is written for people, and the same with anchors and aliases."""
    path = directory / "robot.yaml"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        why_nothing_applies(path, "/ns/policy_node")
        read_configuration(path)

    seeds = [_short((_CONFIG / "sim_arm.yaml").read_bytes())]
    seeds.append(_with_aliases(seeds[0]))
    seeds.append(parameter_file_text({"fps": 20.0, "cameras": ["a"], "shadow": True}).encode())
    lines = one_of(_line_mutation, _line_mutation, _structure_mutation, _structure_mutation, _token_mutation, _aliases)
    return Target("parameter_file", check, seeds, lines, (ConfigurationError,))


def _short(text: bytes) -> bytes:
    """The same without comments, because the time goes with the length."""
    lines = (line.partition(b" #")[0].rstrip() for line in text.splitlines())
    return b"\n".join(line for line in lines if line and not line.lstrip().startswith(b"#"))


def _with_aliases(text: bytes) -> bytes:
    return text.replace(b"joints: [grip]", b"joints: &grip [grip]").replace(
        b"fps: 20.0", b"fps: &fps 20.0\n    a: *fps"
    )


def _token_mutation(data: bytes, random: random.Random) -> bytes:
    return bytes_mutation(data, random, _TOKENS)


def _line_mutation(data: bytes, random: random.Random) -> bytes:
    """A value, a key or the indentation of a line exchanged; a line left out or repeated."""
    lines = data.split(b"\n")
    for _ in range(random.randint(1, 3)):
        place = random.randrange(len(lines))
        key, colon, value = lines[place].partition(b":")
        match random.randrange(6):
            case 0:
                lines[place] = key + colon + b" " + random.choice(_TOKENS)
            case 1:
                lines[place] = key + colon + b" " + random.choice(_TOKENS) + value
            case 2:
                lines[place] = b" " * random.randrange(12) + lines[place].lstrip()
            case 3:
                lines.insert(place, random.choice(lines))
            case 4:
                lines[place] = random.choice(_TOKENS) + colon + value
            case _:
                del lines[place]
                lines = lines or [b""]
    return b"\n".join(lines)[:LONGEST_INPUT]


def _structure_mutation(data: bytes, random: random.Random) -> bytes:
    """Another structure: as JSON, which is YAML, but for what JSON lacks."""
    try:
        check_plain(data.decode())  # aliases would be written out
        text = json.dumps(yaml.safe_load(data), default=str)
    except Exception:  # hostile itself
        return bytes_mutation(data, random)
    return json_mutation(text.encode("utf-8", "replace"), random)


def _aliases(data: bytes, random: random.Random) -> bytes:
    """Lists or objects of which each holds the one before many times; or that hold themselves."""
    levels, width = random.randint(1, 40), random.randint(1, 12)
    kind = random.randrange(4)
    lines = ["a0: &a0 [x]"] if kind < 2 else ["a0: &a0 {k: x}"]
    for level in range(1, levels):
        if kind < 2:
            lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]")
        else:
            lines.append(f"a{level}: &a{level} {{{', '.join(f'k{i}: *a{level - 1}' for i in range(width))}}}")
    if kind == 1:
        lines.append("self: &self [*self]")
    if kind == 3:
        lines.append("self: &self {self: *self, '<<': {a: 1}}")
    if random.random() < 0.5:
        lines = ["/**/policy_node:", "  ros__parameters:", *("    " + line for line in lines)]
    return "\n".join(lines).encode() + (b"\n" + data if random.random() < 0.5 else b"")
