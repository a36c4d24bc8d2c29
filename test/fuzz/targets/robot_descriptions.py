"""Target: a robot description, as a topic brings it."""

from __future__ import annotations

import random
from pathlib import Path

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.joints import Joint
from act_inference_ros.robot.robot_description import read_description, tightened
from test.fuzz.mutation import bytes_mutation, one_of
from test.fuzz.target import LONGEST_INPUT, Target

_SEEDS = (
    b"<?xml version='1.0'?><robot name='r' xmlns='http://www.ros.org'><link name='a'/>"
    b"<joint name='pan' type='revolute'><limit lower='-1' upper='1.5' velocity='2' effort='1'/></joint></robot>",
    b"<robot name='r'><joint name='pan' type='revolute'><limit lower='-1' upper='1.5' velocity='2' effort='1'/>"
    b"<safety_controller soft_lower_limit='-0.9' soft_upper_limit='1' k_velocity='1'/></joint>\n"
    b"<joint name='lift' type='prismatic'><limit upper='0.5'/><mimic joint='pan' multiplier='2'/></joint>\n"
    b"<joint name='turn' type='continuous'><axis xyz='0 0 1'/><limit velocity='2'/></joint>\n"
    b"<joint name='mount' type='fixed'/><ros2_control name='c'><joint name='pan'/></ros2_control></robot>",
)
_TOKENS = (
    b"<!DOCTYPE r [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]>", b"&b;", b"&a;", b"&#0;", b"&#x10ffff;",
    b"&#xd800;",
    b"<!DOCTYPE r SYSTEM 'file:///etc/hostname'>", b"<?xml version='1.0' encoding='utf-16'?>", b"<?xml version='9'?>",
    b"<?xml version='1.0' encoding='utf-7'?>", b"<?xml version='1.0' encoding='cp037'?>", b"<?x y?>", b"<!-- -->",
    b"<![CDATA[", b"]]>",
    b"<xacro:arm/>", b"xmlns:xacro='http://ros.org/xacro'", b"xmlns='xacro'", b"<a>" * 2000, b"</a>" * 2000,
    b"<joint/>",
    b"<joint name='pan' type='revolute'/>", b"<joint name='\xc2\x80' type='fixed'/>", b"<limit lower='nan'/>",
    b"'1e999'", b"'inf'",
    b"'1_0'", b"'0x10'", b"' 1 '", b"''", b"'-0'", b"type='continuous'", b"type='revolute'", b"lower='2'",
    b"upper='-2'",
    b"<robot>", b"</robot>", b"</joint>", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"}", b"{", b"xmlns:a='}robot'",
    b"a:joint",
)  # fmt: skip


def robot_description(directory: Path) -> Target:
    """Two descriptions, one with a default namespace."""
    joint = Joint("pan", minimum=-2.0, maximum=2.0)

    def check(data: bytes) -> None:
        described = read_description(data.decode("utf-8", "surrogateescape"))
        tightened(joint, described.get("pan"))

    mutate = one_of(_token_mutation, _token_mutation, _token_mutation, bytes_mutation, _repeated)
    return Target("robot_description", check, _SEEDS, mutate, (ConfigurationError,))


def _token_mutation(data: bytes, random: random.Random) -> bytes:
    return bytes_mutation(data, random, _TOKENS)


def _repeated(data: bytes, random: random.Random) -> bytes:
    """An element many times, or many levels deep."""
    start = data.find(b"<", random.randrange(len(data) + 1))
    end = data.find(b">", start) + 1
    piece = data[start:end]
    return (data[:end] + piece * random.randrange(1, 3000) + data[end:])[:LONGEST_INPUT]
