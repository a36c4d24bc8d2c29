"""The limits of joints, read from a robot description (URDF), and a Joint tightened by them.

The elements mean what https://wiki.ros.org/urdf/XML/joint says; where that page is silent, urdfdom decides, the
parser that robot_state_publisher and ros2_control use. The text comes over the network, so it is checked
first (`plain_xml`), and read with defusedxml. Imports neither ROS nor numpy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from act_inference_ros.errors import ConfigurationError, MissingDependencyError
from act_inference_ros.joints import Joint
from act_inference_ros.robot.plain_xml import NotPlainXml, check_plain_xml

MAX_DESCRIPTION_BYTES = 4 * 2**20
"""Real descriptions refer to their meshes by file name and are far smaller: a humanoid's has about 0.2 MiB."""

REVOLUTE, CONTINUOUS, PRISMATIC = "revolute", "continuous", "prismatic"
KINDS = (REVOLUTE, CONTINUOUS, PRISMATIC, "fixed", "floating", "planar")
"""The `type`s a URDF joint can have."""

_ONE_AXIS = (REVOLUTE, CONTINUOUS, PRISMATIC)
_BOUNDED = (REVOLUTE, PRISMATIC)
_EXPAND = "expand it first, for example with: xacro robot.urdf.xacro > robot.urdf"
_LONGEST_QUOTE = 60


@dataclass(frozen=True)
class DescribedJoint:
    """One joint of a robot description: rad or m, rad/s or m/s (ROS units, REP 103); None means no limit given.

    `kind` is one of KINDS. `mimics` names the joint that this one follows, if any. Only revolute and prismatic joints
    have position limits, and only they and continuous ones have a velocity limit.
    """

    name: str
    kind: str
    minimum: float | None = None
    maximum: float | None = None
    max_velocity: float | None = None
    mimics: str | None = None

    @property
    def continuous(self) -> bool:
        """Whether the joint turns without end, so that positions a whole turn apart are the same."""
        return self.kind == CONTINUOUS

    @property
    def prismatic(self) -> bool:
        """Whether the joint slides, so that its unit is the metre."""
        return self.kind == PRISMATIC


def read_description(text: str) -> dict[str, DescribedJoint]:
    """Return the joints of a robot description, by name, in its order; empty if it has none.

    Only children of `<robot>` count: `<ros2_control>` and `<transmission>` have elements called `joint`, too.
    Raises ConfigurationError if the text is not an expanded URDF of at most MAX_DESCRIPTION_BYTES without DOCTYPE, if
    it goes beyond the bounds of `plain_xml`, or if a joint in it contradicts itself; MissingDependencyError without
    defusedxml.
    """
    root = _parsed(text)
    namespace, _, tag = root.tag.rpartition("}")
    if tag != "robot":
        raise _refusal(
            f"expected a URDF, whose outermost element is <robot>, got <{_quoted(tag)}>; give the robot's URDF"
        )
    for element in root.iter():
        if "xacro" in element.tag.rpartition("}")[0]:
            name = _quoted("xacro:" + element.tag.rpartition("}")[2])
            raise _refusal(f"expected a URDF, got a xacro file with the element <{name}>; {_EXPAND}")
    joints: dict[str, DescribedJoint] = {}
    for element in root.findall(f"{namespace}}}joint" if namespace else "joint"):
        joint = _joint(element)
        if joint.name in joints:
            raise _refusal(
                f"expected joints of different names, got two called '{_quoted(joint.name)}'; rename or remove one"
            )
        joints[joint.name] = joint
    return joints


def tightened(joint: Joint, described: DescribedJoint | None) -> Joint:
    """Return the joint with the tighter of its own limits and the description's; unchanged without description.

    Raises ConfigurationError, which shows both intervals, when they leave the joint no room to move.
    """
    if described is None:
        return joint
    minimum = _largest(joint.minimum, described.minimum)
    maximum = _smallest(joint.maximum, described.maximum)
    if minimum is not None and maximum is not None and minimum >= maximum:
        raise ConfigurationError(
            f"joint {joint.name}: expected limits that overlap those of the robot description, got"
            f" {_interval_text(joint.minimum, joint.maximum)} from the parameters and"
            f" {_interval_text(described.minimum, described.maximum)} from the description (ROS units: rad or m);"
            " correct the one that is wrong"
        )
    velocities = (
        [joint.max_velocity] if described.max_velocity is None else [joint.max_velocity, described.max_velocity]
    )
    return replace(joint, minimum=minimum, maximum=maximum, max_velocity=min(velocities))


def _parsed(text: str) -> Any:
    """Return the outermost element (xml.etree.ElementTree.Element)."""
    try:
        from defusedxml import DefusedXmlException, ElementTree
    except ImportError:
        raise MissingDependencyError(
            "reading a robot description needs defusedxml, which is not installed: pip install defusedxml"
            " (or the system's python3-defusedxml)"
        ) from None
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_DESCRIPTION_BYTES:
        raise _refusal(f"expected at most {MAX_DESCRIPTION_BYTES} bytes, got {size}; keep meshes in files of their own")
    if not text.strip():
        raise _refusal("expected a URDF, got an empty text; give the robot's URDF or leave the description out")
    try:
        check_plain_xml(text)
        return ElementTree.fromstring(text, forbid_dtd=True)
    except NotPlainXml as problem:
        raise _refusal(str(problem)) from None
    except DefusedXmlException:
        raise _refusal(
            "expected a URDF without DOCTYPE and entities, got one that declares some; remove them"
        ) from None
    except (ElementTree.ParseError, ValueError) as problem:  # a lone surrogate is a UnicodeEncodeError
        if "unbound prefix" in str(problem) and "<xacro:" in text:
            raise _refusal(f"expected a URDF, got a xacro file; {_EXPAND}") from None
        why = "it has characters that are not Unicode text" if isinstance(problem, UnicodeError) else problem
        advice = "correct it" if text.lstrip().startswith("<") else "give the URDF itself, not the name of its file"
        raise _refusal(
            f"expected a URDF, got a text that is not XML ({why}) and begins with '{_quoted(text.strip())}'; {advice}"
        ) from None


def _joint(element: Any) -> DescribedJoint:
    name = element.get("name", "")
    if not name:
        raise _refusal("expected a name for each <joint>, got one without; name it")
    kind = element.get("type", "")
    if kind not in KINDS:
        raise _refusal(
            f"joint '{_quoted(name)}': expected a type out of {', '.join(KINDS)}, got '{_quoted(kind)}'; correct it"
        )
    namespace = element.tag[: -len("joint")]
    limit, soft, mimic = (element.find(namespace + tag) for tag in ("limit", "safety_controller", "mimic"))
    mimics = None if mimic is None else mimic.get("joint", "")
    if mimics == "":
        raise _refusal(f"joint '{_quoted(name)}': expected the attribute joint in <mimic>, got none; name the joint")
    minimum = maximum = None
    if kind in _BOUNDED:
        hard_minimum, hard_maximum = _interval(name, limit, "lower", "upper")
        soft_minimum, soft_maximum = _interval(name, soft, "soft_lower_limit", "soft_upper_limit")
        minimum, maximum = _largest(hard_minimum, soft_minimum), _smallest(hard_maximum, soft_maximum)
        if minimum is not None and maximum is not None and minimum > maximum:
            raise _refusal(
                f"joint '{_quoted(name)}': expected a <safety_controller> that overlaps <limit>, got"
                f" {_interval_text(soft_minimum, soft_maximum)} and {_interval_text(hard_minimum, hard_maximum)};"
                " correct the one that is wrong"
            )
    max_velocity = _velocity(name, limit) if kind in _ONE_AXIS else None
    return DescribedJoint(name, kind, minimum, maximum, max_velocity, mimics)


def _interval(joint: str, element: Any, lower: str, upper: str) -> tuple[float | None, float | None]:
    """Return two attributes as minimum and maximum, or None twice where they are not given."""
    if element is None:
        return None, None
    minimum, maximum = _number(joint, element, lower), _number(joint, element, upper)
    # By the specification an omitted limit is 0, so a joint without position limits looks like [0, 0]. A joint that
    # # truly cannot move would be written as fixed.
    if minimum == maximum == 0.0:
        return None, None
    if minimum > maximum:
        raise _refusal(
            f"joint '{_quoted(joint)}': expected {lower} to be at most {upper}, got {minimum} and {maximum} (an omitted"
            " one is 0); correct them"
        )
    return minimum, maximum


def _velocity(joint: str, limit: Any) -> float | None:
    if limit is None:
        return None
    velocity = _number(joint, limit, "velocity")
    if velocity < 0.0:
        raise _refusal(f"joint '{_quoted(joint)}': expected a velocity of 0 or more, got {velocity}; correct it")
    # <limit> must have a velocity, so exporters that know none write 0. That counts as not given: the parameter file
    # # then still sets one, whereas a limit of 0 would mean a joint that never moves.
    return velocity or None


def _number(joint: str, element: Any, attribute: str) -> float:
    """Return an attribute as a finite number, 0 where it is omitted (the specification's default)."""
    given = element.get(attribute, "0")
    try:
        # Only Python reads 1_000 and the digits of other scripts; other parsers would read another limit.
        value = float(given) if given.isascii() and "_" not in given else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        hint = _EXPAND if "${" in given else "correct it"
        raise _refusal(
            f"joint '{_quoted(joint)}': expected a finite number for {attribute}, got '{_quoted(given)}'; {hint}"
        )
    return value


def _largest(*given: float | None) -> float | None:
    return max((value for value in given if value is not None), default=None)


def _smallest(*given: float | None) -> float | None:
    return min((value for value in given if value is not None), default=None)


def _interval_text(minimum: float | None, maximum: float | None) -> str:
    return f"[{'-inf' if minimum is None else minimum}, {'inf' if maximum is None else maximum}]"


def _quoted(given: str) -> str:
    """Return a text from the description on one line and short enough for a message."""
    start = given[: _LONGEST_QUOTE + 1].encode("unicode_escape").decode("ascii")
    return start if len(start) <= _LONGEST_QUOTE else start[:_LONGEST_QUOTE] + "..."


def _refusal(message: str) -> ConfigurationError:
    return ConfigurationError(f"robot_description: {message}")
