import math
import sys
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from act_inference_ros.errors import ConfigurationError, MissingDependencyError
from act_inference_ros.joints import Joint
from act_inference_ros.robot.robot_description import (
    MAX_DESCRIPTION_BYTES,
    DescribedJoint,
    read_description,
    tightened,
)

STEADY = settings(deadline=None, derandomize=True)
ARM = """<?xml version="1.0" encoding="utf-8"?>
<!-- <xacro:macro> was here -->
<robot name="arm" xmlns:xacro="http://www.ros.org/wiki/xacro">
  <link name="base"/>
  <joint name="pan" type="revolute">
    <limit lower="-3.1" upper="3.1" effort="10" velocity="2.5"/>
    <safety_controller soft_lower_limit="-3.0" soft_upper_limit="3.2" k_velocity="10"/>
  </joint>
  <joint name="wrist" type="continuous"><limit lower="-1" upper="1" effort="10" velocity="4"/></joint>
  <joint name="finger" type="prismatic"><limit upper="0.04" effort="10" velocity="0"/></joint>
  <joint name="thumb" type="prismatic"><limit upper="0.04" effort="1" velocity="0.1"/><mimic joint="finger"/></joint>
  <joint name="mount" type="fixed"/>
  <ros2_control name="all" type="system"><joint name="pan"><command_interface name="position"/></joint></ros2_control>
  <transmission name="t"><joint name="pan"/></transmission>
</robot>
"""


def robot(content: str, attributes: str = "") -> str:
    return f"<robot name='r' {attributes}>{content}</robot>"


def joint(limit: str = "", kind: str = "revolute", name: str = "j") -> str:
    return f"<joint name='{name}' type='{kind}'>{limit}</joint>"


def refused(text: str) -> str:
    """The one line with which a text is refused."""
    with pytest.raises(ConfigurationError) as caught:
        read_description(text)
    message = str(caught.value)
    assert message.startswith("robot_description: expected") or message.startswith("robot_description: joint '")
    assert "\n" not in message
    assert len(message) < 400
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return message


def test_an_arm_is_read_as_written() -> None:
    assert read_description(ARM) == {
        "pan": DescribedJoint("pan", "revolute", -3.0, 3.1, 2.5),
        "wrist": DescribedJoint("wrist", "continuous", None, None, 4.0),
        "finger": DescribedJoint("finger", "prismatic", 0.0, 0.04, None),
        "thumb": DescribedJoint("thumb", "prismatic", 0.0, 0.04, 0.1, mimics="finger"),
        "mount": DescribedJoint("mount", "fixed"),
    }
    assert [j.name for j in read_description(ARM).values() if j.continuous] == ["wrist"]
    assert [j.name for j in read_description(ARM).values() if j.prismatic] == ["finger", "thumb"]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("", (None, None, None)),
        ("<limit effort='1' velocity='2'/>", (None, None, 2.0)),
        ("<limit lower='0' upper='0' velocity='0'/>", (None, None, None)),
        ("<limit lower='-1'/>", (-1.0, 0.0, None)),
        ("<limit lower=' -1e0 ' upper='+.5'/>", (-1.0, 0.5, None)),
        ("<limit lower='0.3' upper='0.3'/>", (0.3, 0.3, None)),
        ("<limit lower='-1' upper='1'/><safety_controller k_velocity='1'/>", (-1.0, 1.0, None)),
        ("<safety_controller soft_lower_limit='-1' soft_upper_limit='1'/>", (-1.0, 1.0, None)),
    ],
)
def test_what_is_omitted_or_zero_is_not_a_limit(
    limit: str, expected: tuple[None, None, None] | tuple[None, None, float] | tuple[float, float, None]
) -> None:
    read = read_description(robot(joint(limit)))["j"]
    assert (read.minimum, read.maximum, read.max_velocity) == expected


def test_a_default_namespace_changes_nothing() -> None:
    text = robot(joint("<limit lower='-1' upper='1'/>"), "xmlns='http://www.ros.org'")
    assert read_description(text)["j"].maximum == 1.0


def test_a_robot_without_joints_has_none() -> None:
    assert read_description("<robot/>") == {}


@pytest.mark.parametrize(
    "number", ["nan", "inf", "-inf", "1e999", "9" * 5000, "", "1_0", "one", "1,5", "0x10", "1 2", "\u0661"]
)
@pytest.mark.parametrize("attribute", ["lower", "upper", "velocity"])
def test_an_invalid_number_is_refused(attribute: str, number: str) -> None:
    assert f"finite number for {attribute}, got '" in refused(robot(joint(f"<limit {attribute}='{number}'/>")))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (joint("<limit lower='1' upper='-1'/>"), "got 1.0 and -1.0"),
        (joint("<limit lower='1'/>"), r"got 1.0 and 0.0 \(an omitted one is 0\)"),
        (joint("<limit velocity='-1'/>"), "velocity of 0 or more, got -1.0"),
        (
            joint("<limit lower='1' upper='2'/><safety_controller soft_lower_limit='3' soft_upper_limit='4'/>"),
            r"\[3.0, 4.0\] and \[1.0, 2.0\]",
        ),
        (joint("<safety_controller soft_lower_limit='1' soft_upper_limit='-1'/>"), "soft_lower_limit to be at most"),
        (joint("<mimic multiplier='2'/>"), "attribute joint in <mimic>"),
        (joint(name="a") * 2, "two called 'a'"),
        (joint(name=""), "a name for each <joint>"),
        ("<joint type='fixed'/>", "a name for each <joint>"),
        (joint(kind="ball"), "a type out of revolute.*got 'ball'"),
        ("<joint name='j'/>", "got ''"),
    ],
)
def test_a_joint_that_contradicts_itself_is_refused(content: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        read_description(robot(content))
    refused(robot(content))


@pytest.mark.parametrize(
    "text",
    [
        robot("<xacro:arm/>", "xmlns:xacro='http://www.ros.org/wiki/xacro'"),
        robot("<xacro:arm/>", "xmlns:xacro='http://ros.org/wiki/xacro'"),
        robot("<link><xacro:property name='a' value='1'/></link>"),
        robot(joint("<limit lower='${-pi}'/>")),
    ],
)
def test_xacro_must_be_expanded(text: str) -> None:
    assert "expand it first" in refused(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty text"),
        (" \n", "empty text"),
        ("/opt/robots/arm.urdf", "not the name of its file"),
        ("\n<?xml version='1.0'?><robot/>", "not XML"),
        ("<robot>", "correct it"),
        ("<robot>&pi;</robot>", "not XML"),
        ("<robot/>\x00", "not XML"),
        ("<robot>\ud800</robot>", "not Unicode text"),
        ("<sdf version='1.7'/>", "got <sdf>"),
        (f"<{'a' * 1000}/>", "aaa..."),
        ("<a>" * 100_000 + "</a>" * 100_000, "at most 256 levels"),
        (" " * MAX_DESCRIPTION_BYTES + "x", "4194304 bytes, got 4194305"),
        ("\u6f22" * (MAX_DESCRIPTION_BYTES // 2), "at most 4194304 bytes"),
    ],
    ids=range(13),
)
def test_a_text_that_is_no_urdf_is_refused(text: str, expected: str) -> None:
    assert expected in refused(text)


LAUGHS = "".join(f"<!ENTITY l{i} '{f'&l{i - 1};' * 10}'>" for i in range(1, 10))


@pytest.mark.parametrize(
    "text",
    [
        f"<!DOCTYPE robot [<!ENTITY l0 'ha'>{LAUGHS}]><robot name='&l9;'/>",
        "<!DOCTYPE robot><robot/>",
        "<!DOCTYPE robot SYSTEM 'http://localhost/robot.dtd'><robot/>",
        "<!DOCTYPE robot [<!ENTITY f SYSTEM 'file:///etc/passwd'>]><robot>&f;</robot>",
        "<!DOCTYPE robot [<!ENTITY % f SYSTEM 'file:///etc/passwd'> %f;]><robot/>",
    ],
)
def test_doctypes_and_entities_are_refused(text: str) -> None:
    assert "without DOCTYPE and entities" in refused(text)


def test_a_missing_defusedxml_is_one_line_that_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "defusedxml", None)
    with pytest.raises(MissingDependencyError, match="pip install defusedxml") as caught:
        read_description(ARM)
    assert "\n" not in str(caught.value)


PIECES = st.sampled_from(
    [
        *(
            "<robot>",
            "</robot>",
            "<joint ",
            "name='a' ",
            "type='revolute' ",
            "type='continuous'",
            ">",
            "/>",
            "</joint>",
        ),
        *("<limit ", "lower='", "upper='1'", "velocity='", "'", "<mimic ", "<?xml version='1.0' encoding='", "utf-16"),
        *("'?>", "<!DOCTYPE a [", "]>", "&a;", "&#0;", "<![CDATA[", "]]>", "<!--", "-->", "<xacro:a/>", "\ufeff"),
        *("1e999", "nan"),
    ]
)
SPLICED = st.builds(lambda at, cut, new: ARM[:at] + new + ARM[at + cut :], *[st.integers(0, len(ARM))] * 2, st.text())
ATTRIBUTES = st.text(st.characters(blacklist_characters="<&'", blacklist_categories=["C"])) | st.floats().map(str)
JOINTS = st.builds(
    lambda kind, low, high, speed: robot(joint(f"<limit lower='{low}' upper='{high}' velocity='{speed}'/>", kind)),
    st.sampled_from(["revolute", "continuous", "prismatic", "fixed"]),
    *[ATTRIBUTES] * 3,
)


@STEADY
@given(st.text() | st.lists(PIECES | st.text(max_size=3)).map("".join) | SPLICED | JOINTS)
def test_any_text_is_read_or_refused(text: str) -> None:
    joints = None
    with suppress(ConfigurationError):
        joints = read_description(text)
    if joints is None:
        refused(text)
        return
    for name, described in joints.items():
        assert name == described.name
        numbers = (described.minimum, described.maximum, described.max_velocity)
        assert all(number is None or math.isfinite(number) for number in numbers)
        assert (described.minimum is None) == (described.maximum is None)
        assert described.minimum is None or described.minimum <= described.maximum


def test_the_tighter_limit_of_parameters_and_description_counts() -> None:
    described = DescribedJoint("j", "revolute", -1.0, 2.0, 1.5)
    assert tightened(Joint("j", scale=2.0), described) == Joint("j", 2.0, 0.0, -1.0, 2.0, 1.5)
    assert tightened(Joint("j", minimum=-0.5, max_velocity=0.1), described) == Joint("j", 1.0, 0.0, -0.5, 2.0, 0.1)
    assert tightened(Joint("j", minimum=-5.0, maximum=1.0), described) == Joint("j", 1.0, 0.0, -1.0, 1.0, 1.5)


def test_a_description_without_limits_changes_nothing() -> None:
    own = Joint("j", minimum=-1.0, maximum=1.0)
    assert tightened(own, None) == own
    assert tightened(own, DescribedJoint("j", "continuous")) == own


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [(3.0, 4.0, "[3.0, 4.0]"), (2.0, None, "[2.0, inf]"), (None, -2.0, "[-inf, -2.0]")],
)
def test_limits_that_do_not_overlap_are_refused_showing_both(low: float | None, high: float | None, shown: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        tightened(Joint("j", minimum=low, maximum=high), DescribedJoint("j", "revolute", -1.0, 2.0))
    assert f"{shown} from the parameters and [-1.0, 2.0] from the description" in str(caught.value)


def test_a_description_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"\[-inf, inf\].*\[0.3, 0.3\]"):
        tightened(Joint("j"), DescribedJoint("j", "revolute", 0.3, 0.3))
