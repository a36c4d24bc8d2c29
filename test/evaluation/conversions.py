"""Converts bags like a user does, with images that survive an encoder, and reads the data set back."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml

from act_inference_ros.evaluation.bags.bag import Bag, BagMessage
from act_inference_ros.evaluation.cli import bag_to_dataset as cli
from act_inference_ros.evaluation.datasets.description import read_info
from act_inference_ros.evaluation.datasets.frames import EpisodeFrames, Frame
from act_inference_ros.evaluation.datasets.index import read_episodes
from test.evaluation import bags
from test.evaluation.bags import FPS, START_S, Event, header, message
from test.evaluation.datasets import picture, seen

TOP, WRIST, STATE, ACTION = "observation.images.top", "observation.images.wrist", "observation.state", "action"
SIDE = 64
SUFFIXES = {"data": "parquet", f"videos/{TOP}": "mp4"}
UNITS = {"joint.pan.unit": "deg", "joint.grip.scale": -50.0, "joint.grip.offset": 7.0}
ORDER = {"state.joints": ["grip", "pan"], "action.joints": ["lift", "grip", "pan"]}


def read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the messages of each bag twice, as if its clock had been set back at the end."""

    def twice(self: Bag, topics: Iterable[str]) -> Iterator[BagMessage]:
        wanted = list(topics)
        yield from messages(self, wanted)
        yield from messages(self, wanted)

    messages = Bag.messages
    monkeypatch.setattr(Bag, "messages", twice)


def image(camera: int, step: int, stamp: float) -> Any:
    pixels = picture(camera, step, SIDE, SIDE)
    return message(
        "sensor_msgs/msg/Image", header=header(stamp), height=SIDE, width=SIDE, encoding="rgb8",
        is_bigendian=0, step=SIDE * 3, data=pixels.reshape(-1),
    )  # fmt: skip


def demonstration(duration_s: float = 2.0, **options: Any) -> Iterator[Event]:
    """Like `bags.events`, but each image shows its number in a form that survives an encoder."""
    for time, topic, kind, content in bags.events(duration_s, **options):
        if topic == "/top/image_raw":
            yield time, topic, kind, image(0, round((time - START_S) * FPS), time)
        else:
            yield time, topic, kind, content


def parameter_file(directory: Path, **changes: Any) -> Path:
    path = directory / "robot.yaml"
    path.write_text(yaml.safe_dump({"policy_node": {"ros__parameters": bags.parameters(**changes)}}))
    return path


def convert(directory: Path, events: Iterable[Event], *more: Any, **changes: Any) -> tuple[int, Path]:
    """Write the bag and convert it; return the exit status and the data set."""
    bag = bags.write_bag(directory / "bag", events)
    out = directory / "out" / "set"
    arguments = ["--bag", bag, "--params", parameter_file(directory, **changes), "--output", out, *more]
    return cli.main([str(each) for each in arguments]), out


def read(root: Path, *keys: str) -> list[list[Frame]]:
    """The frames of every episode, as eval_policy reads them."""
    info = read_info(root)
    found = []
    for entry in read_episodes(info):
        with EpisodeFrames(info, entry, keys) as episode:
            found.append(list(episode.frames()))
            assert episode.problems == []
    return found


def numbers(frames: Iterable[Frame], key: str) -> npt.NDArray[np.float64]:
    return np.stack([frame.vectors[key] for frame in frames])


def shown(frames: Iterable[Frame], key: str) -> list[tuple[int, int]]:
    """The number and the camera of the images."""
    drawn = [seen(frame.images[key].data.reshape(SIDE, SIDE, 3)) for frame in frames]
    return [(step, camera) for camera, step in drawn]


def in_policy_units(ros: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Columns pan, lift, grip as UNITS say."""
    return ros * [180.0 / math.pi, 1.0, -50.0] + [0.0, 0.0, 7.0]


def leftovers(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def without(events: Iterable[Event], topic: str, begin_s: float, end_s: float) -> Iterator[Event]:
    return (each for each in events if each[1] != topic or not begin_s <= each[0] - START_S < end_s)
