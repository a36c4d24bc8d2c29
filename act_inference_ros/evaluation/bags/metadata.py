"""What a bag says of itself in YAML, loaded with bounds: metadata.yaml, and the QoS of a topic's publishers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path, PurePath
from typing import Any

from act_inference_ros.evaluation.bags.finding import METADATA
from act_inference_ros.robot.plain_yaml import read_plain

MOST_METADATA_BYTES = 2**18
"""Largest metadata.yaml. A topic takes about a kilobyte."""
MOST_QOS_BYTES = 2**17
"""Most bytes of the texts about QoS that differ from each other. A publisher takes about 350 bytes."""
_MULTIPLYING = ("<<", "%TAG")
"""Merge keys and short names of tags: a few bytes stand for many. No recorder writes them."""
_MOST_QOS = 2**63, 2**32
"""Seconds and nanoseconds of a span are less; some middlewares write infinity as 2^32 - 1 ns."""
_MOST_DEPTH = 2**31
_SPANS = ("deadline", "lifespan", "liveliness_lease_duration")


class BagTexts:
    """The YAML texts of one bag. Each is loaded once, however many topics and files repeat it."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}
        self._profiles: dict[str | int, tuple[Any, Any]] = {}
        self._left = MOST_METADATA_BYTES + MOST_QOS_BYTES

    def load(self, text: str) -> Any:
        """Return what a text says. Raises ValueError or PyYAML's YAMLError for one that would cost much."""
        if text not in self._known:
            self._left -= len(text)
            if self._left < 0:
                raise ValueError(
                    f"expected at most {MOST_METADATA_BYTES + MOST_QOS_BYTES} bytes of YAML in one bag, got more"
                )
            if any(each in text for each in _MULTIPLYING):
                raise ValueError(f"expected YAML without {' and '.join(_MULTIPLYING)}, which multiply")
            self._known[text] = read_plain(text, aliases=True)
        return self._known[text]

    def qos(self, told: Any, parse: Callable[[Any], Any]) -> Any:
        """Return the QoS profiles that a text or a part of metadata.yaml tells, as rosbags' `parse` makes them.

        What is told several times is parsed once. Raises ValueError for profiles with numbers that are none.
        """
        key = told if isinstance(told, str) else id(told)
        if key not in self._profiles:
            profiles = parse(told)
            _check_qos(profiles)
            self._profiles[key] = (told, profiles)  # `told` is kept, or its id could become another's
        return self._profiles[key][1]


def check_number(what: str, value: Any, most: int) -> None:
    """Raise ValueError for what is no integer from 0 to less than `most`."""
    if not isinstance(value, int) or not 0 <= value < most:
        raise ValueError(f"{what}: expected a number from 0 to {most - 1}, got {short(value)}")


def short(value: Any) -> str:
    """Return a value as text; a huge integer cannot be written out."""
    return f"one of {value.bit_length()} bits" if isinstance(value, int) and value.bit_length() > 1000 else repr(value)


def _check_qos(profiles: Iterable[Any]) -> None:
    for profile in profiles:
        check_number("QoS: depth", profile.depth, _MOST_DEPTH)
        for span in (getattr(profile, name) for name in _SPANS):
            for number, most in zip((span.sec, span.nsec), _MOST_QOS, strict=True):
                check_number("QoS: span", number, most)


def whole_packed_files(directory: Path, texts: BagTexts) -> list[Path]:
    """Return the storage files that metadata.yaml says are packed as a whole, whatever their names are.

    Raises ValueError or PyYAML's YAMLError for metadata that would cost much, or that names what is no plain file.
    """
    place = directory / METADATA
    if not place.exists():
        return []
    if not place.is_file():
        raise ValueError(f"{METADATA}: expected a regular file")
    with place.open("rb") as file:
        content = file.read(MOST_METADATA_BYTES + 1)
    if len(content) > MOST_METADATA_BYTES:
        raise ValueError(f"{METADATA}: expected at most {MOST_METADATA_BYTES} bytes, got more")
    told = texts.load(content.decode("utf-8"))
    said = told.get("rosbag2_bagfile_information") if isinstance(told, dict) else None
    if not isinstance(said, dict):
        return []  # rosbags says what is missing
    files = list(_storage_files(directory, said.get("relative_file_paths")))
    return files if str(said.get("compression_mode")).lower() == "file" else []


def _storage_files(directory: Path, names: Any) -> Iterable[Path]:
    """Yield the files that rosbags will open; each may be named once."""
    seen = set()
    for name in names if isinstance(names, list) else ():
        file = directory / PurePath(str(name)).name
        if not file.exists():
            continue  # rosbags says so
        if not file.is_file():
            raise ValueError(f"{file.name}: expected a regular file")
        status = file.stat()
        if (status.st_dev, status.st_ino) in seen:
            raise ValueError(f"{METADATA}: expected each storage file once, got {file.name} again")
        seen.add((status.st_dev, status.st_ino))
        yield file
