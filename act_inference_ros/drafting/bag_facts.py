"""Reads facts about a robot from a recorded bag."""

from __future__ import annotations

import itertools
from pathlib import Path

from act_inference_ros.drafting.facts import RobotFacts
from act_inference_ros.drafting.observer import IMAGES, RobotObserver, is_wanted
from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.bags.bag import Bag, find_bags

MOST_IMAGES = 40
"""Most images read per topic, enough for their size and rate."""


def read_bag_facts(path: Path) -> RobotFacts:
    """Read every message of a bag about joints, and the first images of each camera.

    Raises ConfigurationError if there is no bag, or more than one, and MissingDependencyError without rosbags.
    """
    bags = find_bags([path])
    if len(bags) > 1:
        names = ", ".join(bag.name for bag in bags[:3])
        raise ConfigurationError(f"bag {path}: expected one bag, found {len(bags)} ({names} ...); give one of them")
    observer = RobotObserver(f"the bag {bags[0].name}")
    with Bag(bags[0]) as bag:
        kinds = {topic: next(iter(types)) for topic, types in bag.types.items() if len(types) == 1}
        wanted = {topic: kind for topic, kind in kinds.items() if is_wanted(topic, kind) and bag.counts[topic]}
        cameras = [topic for topic, kind in wanted.items() if kind in IMAGES]
        for topic in cameras:
            for entry in itertools.islice(bag.messages([topic]), MOST_IMAGES):
                if entry.message is not None:
                    observer.take(topic, wanted[topic], entry.received, entry.message)
        for entry in bag.messages(topic for topic in wanted if topic not in cameras):
            if entry.message is not None:
                observer.take(entry.topic, wanted[entry.topic], entry.received, entry.message)
        observer.problems += bag.problems
        observer.problems += [
            f"{topic}: of two types ({', '.join(sorted(types))}), so it is not looked at"
            for topic, types in bag.types.items()
            if len(types) > 1
        ]
    return observer.facts()
