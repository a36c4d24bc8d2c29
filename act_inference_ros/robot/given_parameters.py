"""The values that are given for the parameters: checked together, with one error that lists every problem."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.joints import POSITION, joint_and_field
from act_inference_ros.robot.parameters import MOST_ENTRIES, PARAMETERS, UNKNOWN, Parameter, Value

MOST_PROBLEMS, LONGEST_PROBLEM = 50, 1000
"""Most problems that one message shows, and most characters of each."""
MOST_COMPARED = 2_000_000
"""Most pairs of characters that are compared to find names that may have been meant; it takes less than a second."""
_DOT = re.compile(r"\.")

# Which list parameter names the things that a template stands for. Joints come from two lists; in one of them a joint
# may be followed by a field, as in `lift/velocity`.
_NAMED_BY = {
    "camera.<camera>.": ("cameras",),
    "joint.<joint>.": ("state.joints", "action.joints"),
    "controller.<controller>.": ("controllers",),
}


def concrete_parameters(given: Mapping[str, Any]) -> dict[str, Parameter]:
    """Name -> parameter, with the templates written out for the cameras, joints and controllers that `given` names."""
    concrete: dict[str, Parameter] = {}
    for parameter in PARAMETERS:
        prefix = next((prefix for prefix in _NAMED_BY if parameter.name.startswith(prefix)), None)
        if prefix is None:
            concrete[parameter.name] = parameter
            continue
        for thing in _names(given, _NAMED_BY[prefix]):
            written_out = _of_thing(parameter, prefix, thing)
            concrete[written_out.name] = written_out
    return concrete


def check_change(values: Mapping[str, Any], changed: Iterable[str]) -> None:
    """Raise ConfigurationError if one of the `changed` values is wrong in every configuration.

    A list may name a camera, joint or controller later: its parameters are checked as if a list named it already.
    """
    names = list(changed)
    concrete = concrete_parameters(values)
    for prefix, thing in {_thing_in(name) for name in names} - {("", "")}:
        made = (_of_thing(parameter, prefix, thing) for parameter in PARAMETERS if parameter.name.startswith(prefix))
        concrete |= {parameter.name: parameter for parameter in made}
    problems = _unknown(names, concrete, values)
    for name in names:
        try:
            if name in concrete:
                concrete[name].converted(values[name])
        except ConfigurationError as problem:
            problems.append(str(problem))
    raise_problems("parameters", problems)


def _of_thing(parameter: Parameter, prefix: str, thing: str) -> Parameter:
    return replace(parameter, name=prefix.split("<")[0] + thing + "." + parameter.name.removeprefix(prefix))


def complete(given: Mapping[str, Any], concrete: Mapping[str, Parameter] | None = None) -> dict[str, Value]:
    """Return a value for every parameter (of the policy node, or of `concrete`): the given value or the default.

    Raises ConfigurationError that lists every unknown name (and the nearest known one), wrong type and value out of
    range. If values must still be filled in, only those are listed, since the rest depends on them.
    """
    concrete = concrete_parameters(given) if concrete is None else concrete
    raise_problems("parameters", _to_fill_in(given, concrete))
    problems = _unknown(given, concrete, given)
    values: dict[str, Value] = {}
    for name, parameter in concrete.items():
        try:
            values[name] = parameter.converted(given.get(name, parameter.default))
        except ConfigurationError as problem:
            problems.append(str(problem))
    raise_problems("parameters", problems)
    return values


def raise_problems(what: str, problems: Iterable[str]) -> None:
    """Raise one ConfigurationError that lists the problems, if there are any."""
    found = list(dict.fromkeys(problems))
    if len(found) == 1:
        raise ConfigurationError(f"{what}: {_shortened(found[0])}")
    if found:
        shown = [_shortened(problem) for problem in found[:MOST_PROBLEMS]]
        more = [f"and {len(found) - MOST_PROBLEMS} more"] if len(found) > MOST_PROBLEMS else []
        listed = "".join(f"\n  - {problem}" for problem in [*shown, *more])
        raise ConfigurationError(f"{what}: {len(found)} problems{listed}")


def _shortened(problem: str) -> str:
    if len(problem) <= LONGEST_PROBLEM:
        return problem
    return f"{problem[:LONGEST_PROBLEM]} ... ({len(problem)} characters)"


def _to_fill_in(given: Mapping[str, Any], concrete: Mapping[str, Parameter]) -> list[str]:
    problems = []
    for name, value in given.items():
        entries = value if isinstance(value, (list, tuple)) else [value]
        unknown = [entry for entry in entries if isinstance(entry, str) and entry.startswith(UNKNOWN)]
        if unknown:
            choices = ", ".join(choice for choice in concrete[name].choices if choice) if name in concrete else ""
            candidates = f"candidates: {choices}" if choices else "candidates stand beside it in the file"
            problems.append(f"{name} is {', '.join(unknown)}: fill it in; {candidates}")
    return problems


def _names(given: Mapping[str, Any], lists: tuple[str, ...]) -> list[str]:
    named = [(name, thing) for name in lists if isinstance(given.get(name), (list, tuple)) for thing in given[name]]
    words = [(name, thing) for name, thing in named if isinstance(thing, str)]
    things = [joint_and_field(thing)[0] if name == "state.joints" else thing for name, thing in words]
    return list(dict.fromkeys(things))[: 2 * MOST_ENTRIES]


def _unknown(given: Iterable[str], concrete: Mapping[str, Parameter], values: Mapping[str, Any]) -> list[str]:
    """Return one problem for each unknown name, but only one for all parameters of a thing that no list names.

    If a list parameter in `values` is not a list, its things give no problems: that mistake is enough to read.
    """
    listed = {kind: _names(values, lists) for kind, lists in _NAMED_BY.items()}
    unlisted: dict[tuple[str, str], list[str]] = {}
    problems: list[str] = []
    suggestions = _Suggestions()
    beginnings = {known[: dot.end()] for known in concrete for dot in _DOT.finditer(known)}
    for name in given:
        if name in concrete:
            continue
        prefix, thing = _thing_in(name)
        if prefix and prefix.split("<")[0] + thing + "." not in beginnings:
            unlisted.setdefault((prefix, thing), []).append(name)
            continue
        problems.append(f"{name}: no such parameter{suggestions.for_name(name, concrete)}")
    for (prefix, thing), names in unlisted.items():
        if any(not isinstance(values.get(name, []), (list, tuple)) for name in _NAMED_BY[prefix]):
            continue
        lists = " and ".join(_NAMED_BY[prefix])
        meant = suggestions.for_name(thing, listed[prefix])
        hint = f"{prefix.split('.')[0]} names come from {lists}, where {thing} is missing{meant}"
        joint, field = joint_and_field(thing)
        if prefix.startswith("joint.") and field != POSITION:
            hint = f"what is said of joint {joint} holds for its {field}, too: write joint.{joint}"
        problems.append(f"{', '.join(names)}: no such parameter{'s' * (len(names) > 1)}; {hint}")
    return problems


class _Suggestions:
    """Finds the known names that are most like wrong ones, for as many as are shown, and while it takes little time."""

    def __init__(self) -> None:
        self._names, self._pairs = MOST_PROBLEMS, MOST_COMPARED

    def for_name(self, name: str, known: Collection[str]) -> str:
        """Return the end of a sentence that says which name may have been meant, or an empty text."""
        if not self._names:
            return ""
        self._names -= 1
        self._pairs -= len(name) * sum(map(len, known))
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.7) if self._pairs > 0 else []
        return f"; did you mean {near[0]}?" if near else ""


def _thing_in(name: str) -> tuple[str, str]:
    """Return the template's prefix and the camera, joint or controller of a parameter; both empty if it has none."""
    for prefix in _NAMED_BY:
        kind = prefix.split("<")[0]
        for parameter in PARAMETERS:
            rest = "." + parameter.name.removeprefix(prefix)
            if parameter.name.startswith(prefix) and name.startswith(kind) and name.endswith(rest):
                return prefix, name[len(kind) : -len(rest)]
        if name.startswith(kind) and name.count(".") >= 2:
            return prefix, name[len(kind) :].split(".")[0]
    return "", ""
