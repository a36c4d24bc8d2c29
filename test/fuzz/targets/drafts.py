"""Target: what a draft of a parameter file is made of: a data set's description and statistics, a bag's messages."""

from __future__ import annotations

import json
from pathlib import Path

from act_inference_ros.drafting.bag_facts import read_bag_facts
from act_inference_ros.drafting.dataset_facts import find_dataset, read_dataset_facts
from act_inference_ros.errors import CheckpointError, ConfigurationError
from test.evaluation import bags, datasets
from test.evaluation.datasets import V21
from test.fuzz.mutation import bytes_mutation, json_mutation, one_of, with_selector
from test.fuzz.target import MIB, Target
from test.fuzz.targets.bags import mcap_mutation

_DIM = len(datasets.JOINTS)


def draft(directory: Path) -> Target:
    """A data set, the train_config.json of its checkpoint, and a bag."""
    root = datasets.write_dataset(directory / "set", V21, "image", lengths=(3,))
    bag = bags.write_bag(directory / "plain", bags.events(0.1), "mcap") / "plain.mcap"
    train_config = directory / "train_config.json"
    files = [root / "meta/info.json", root / "meta/stats.json", train_config, directory / "lone.mcap"]
    numbers = {"min": [0.0] * _DIM, "max": [1.0] * _DIM}
    contents = [
        files[0].read_bytes(),
        json.dumps({"action": numbers, datasets.STATE: numbers}).encode(),
        json.dumps({"dataset": {"repo_id": "me/cubes", "root": str(root)}}).encode(),
        bag.read_bytes(),
    ]
    for path, content in zip(files, contents, strict=True):
        path.write_bytes(content)

    def check(data: bytes) -> None:
        kind = data[0] % len(files) if data else 0
        files[kind].write_bytes(data[1:])
        try:
            if kind == 3:
                read_bag_facts(files[kind])
            elif kind == 2:
                find_dataset(directory)
            else:
                read_dataset_facts(root, _DIM)
        finally:
            files[kind].write_bytes(contents[kind])

    seeds = [bytes([kind]) + content for kind, content in enumerate(contents)]
    json_file = one_of(json_mutation, json_mutation, json_mutation, bytes_mutation)
    mutate = with_selector([json_file, json_file, json_file, mcap_mutation])
    return Target("draft", check, seeds, mutate, (ConfigurationError, CheckpointError), 256 * MIB)
