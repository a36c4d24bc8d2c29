"""rosbag2's own test bags, of both storages and of several versions: each is opened, or refused in a sentence."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from act_inference_ros.evaluation.bags.bag import METADATA, Bag, find_bags
from act_inference_ros.evaluation.bags.bag_evaluation import evaluate_bags
from act_inference_ros.evaluation.bags.serialized import BagSource
from act_inference_ros.evaluation.results import FAILED
from act_inference_ros.evaluation.run_settings import RunSettings
from test.evaluation import bags

ROOT = Path("../shared/real_data/rosbag2_resources")
WRONG_FORMAT = "wrong_rmw_test"
pytestmark = pytest.mark.skipif(not ROOT.exists(), reason="the real data is not here")


def directories() -> Iterator[Path]:
    return (file.parent for file in sorted(ROOT.rglob(METADATA)))


def test_all_but_those_of_another_format_are_opened() -> None:
    opened = refused = 0
    for path in directories():
        with Bag(path) as bag:
            if path.name == WRONG_FORMAT:
                refused += 1
                (problem,) = bag.problems
                assert problem == (
                    "not a bag of ROS 2's own format, cdr: Serialization format {'wrong_format'} is not supported"
                )
                assert list(bag.messages(bag.types)) == []
            else:
                opened += 1
                assert bag.problems == []
                # Whatever its metadata says of their QoS. (Their own message types are nobody's business here.)
                assert sum(1 for _ in bag.messages(bag.types)) == bag.counts.total()
                assert not any("damaged" in problem for problem in bag.problems)
                assert all("nobody here knows" in problem for problem in bag.problems)
    assert (opened, refused) == (19, 2)


def test_they_are_replayed_whatever_the_metadata_says_of_their_qos() -> None:
    for path in directories():
        if path.name != WRONG_FORMAT:
            with BagSource(path) as source:
                assert sum(1 for _ in source.messages(source.topics)) == sum(topic.count for topic in source.topics)


def test_none_of_them_can_be_evaluated_and_each_says_why() -> None:
    found = find_bags([ROOT])
    with bags.client() as client:
        result = evaluate_bags(found, bags.configuration(), client, RunSettings("test", ""))
    assert [episode.status for episode in result.episodes] == [FAILED] * len(found)
    assert all(episode.reasons and "\n" not in " ".join(episode.reasons) for episode in result.episodes)
