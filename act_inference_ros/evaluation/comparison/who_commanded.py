"""Who commanded the arm at any instant of a recording: the policy, the operator, or nobody.

The policy node says in `~/status` whether it commands. No bag says who published a command, but the node publishes
none while it waits, holds, is paused or stopped, except for the hold itself. So a command at such a time, when the
hold must be over, is the operator's: it comes from a person or another program.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from act_inference_ros.control.limiter.bounds import MotionLimits
from act_inference_ros.control.limiter.braking import longest_braking_s
from act_inference_ros.evaluation.comparison.track import SNAP_S, Track
from act_inference_ros.execution import supervisor
from act_inference_ros.execution.states import SHADOW, SINCE, WHO_COMMANDS
from act_inference_ros.robot.configuration import RobotConfiguration

OPERATOR, POLICY, START_POSE = "operator", supervisor.POLICY, supervisor.START_POSE
HOLD, NOBODY, UNKNOWN = "hold", supervisor.NOBODY, "unknown"
WORDS = (OPERATOR, POLICY, START_POSE, HOLD, NOBODY, UNKNOWN)
"""Who commanded. Start pose: the node, on its way there. Hold: the node, coming to rest. Unknown: no information."""

OPERATOR_SILENT_S = 0.5
"""An operator counts as commanding until this long after the last command, or after the end of a trajectory."""
STATUS_SILENT_S = 2.0
"""The node repeats its status every 0.5 s. After a longer silence the state is unknown: the node may have died."""
RECORDED_LATE_S = 0.1
"""Largest difference between the recording times of two messages that were published together."""
OLDEST_STATE_S = 86400.0
"""A state that is older according to its status was stamped on another clock than the bag's."""
SHARE_STEP_S = 0.05

Floats = npt.NDArray[np.float64]
Words = npt.NDArray[np.str_]
_CODES = {word: float(code) for code, word in enumerate(WORDS)}
_NAMES = np.array(WORDS)


class Commanded(Protocol):
    """Who commanded when, as a Truth uses it. Times are s on the clock of the recording."""

    def at(self, times: Floats) -> Words:
        """One of WORDS for each of `times` (n,)."""

    def add_command(self, controller: str, begin: float, end: float) -> None:
        """A controller was sent a command that is for the time from `begin` to `end`."""

    def forget_before(self, time: float) -> None:
        """Drop what is not needed for instants from `time` on."""

    def clear(self) -> None:
        """Forget everything: the clock was set back."""


class MarkedFrames:
    """Who commanded the frames of a data set that marks each frame with its commander."""

    def __init__(self) -> None:
        self._marks = Track(1)

    def add(self, word: str, time: float) -> None:
        """Note that `word` commanded the frame at `time`, and the time until the next frame."""
        self._marks.append(time, np.array([_CODES[word]]))

    def at(self, times: Floats) -> Words:
        """One of WORDS for each of `times` (n,)."""
        return _named(self._marks.held(times)[:, 0])

    def add_command(self, controller: str, begin: float, end: float) -> None:
        """Ignore the command: the marks say who commanded."""

    def forget_before(self, time: float) -> None:
        """Drop what is not needed for instants from `time` on."""
        self._marks.forget_before(time)

    def clear(self) -> None:
        """Forget everything."""
        self._marks.clear()


class WhoCommanded:
    """Who commanded in a bag, from the node's `~/status` and the times of the commands.

    Ask for an instant once the messages of the half second after it were taken. Not thread-safe. Memory is bounded by
    what `forget_before` leaves.
    """

    def __init__(self, configuration: RobotConfiguration) -> None:
        limits = MotionLimits.of(configuration.action.joints)
        self._rest_s = longest_braking_s(limits) + RECORDED_LATE_S
        self._says = Track(2)  # the start and the code of the commander
        self._heard = Track(1)
        self._commands = {each.name: Track(2) for each in configuration.controllers}

    def add_status(self, msg: Any, received: float) -> None:
        """Take a message of `~/status` (diagnostic_msgs/DiagnosticStatus); None is a damaged one."""
        values = {} if msg is None else {str(each.key): str(each.value) for each in msg.values}
        if WHO_COMMANDS not in values:
            return
        word = NOBODY if values.get(SHADOW) else values[WHO_COMMANDS]
        code = _CODES[word if word in (POLICY, START_POSE, NOBODY) else UNKNOWN]
        begin = _since(values.get(SINCE, ""), received)
        if not len(self._heard):  # its word on the time before holds, too
            first = max(begin, received - STATUS_SILENT_S)
            self._heard.append(first, np.array([first]))
        self._heard.append(received, np.array([received]))
        if len(self._says) and self._says.rows[-1, 1] == code:
            return
        if len(self._says):
            begin = max(begin, float(self._says.times[-1]))
        self._says.append(begin, np.array([begin, code]))

    def add_command(self, controller: str, begin: float, end: float) -> None:
        """A controller was sent a command that is for the time from `begin` to `end`."""
        self._commands[controller].append(begin, np.array([begin, end]))

    def at(self, times: Floats) -> Words:
        """One of WORDS for each of `times` (n,)."""
        said = self._says.held(times)
        codes = said[:, 1].copy()
        heard = self._heard.held(times)[:, 0]
        codes[~(heard >= times - STATUS_SILENT_S)] = _CODES[UNKNOWN]
        free = said[:, 0] + self._rest_s
        nobody = codes == _CODES[NOBODY]
        codes[nobody & (times < free)] = _CODES[HOLD]
        for track in self._commands.values():
            command = track.held(times)
            lasts = times <= command[:, 1] + OPERATOR_SILENT_S + SNAP_S
            codes[nobody & (command[:, 0] >= free) & lasts] = _CODES[OPERATOR]
        return _named(codes)

    def forget_before(self, time: float) -> None:
        """Drop what is not needed for instants from `time` on."""
        for track in (self._says, self._heard, *self._commands.values()):
            track.forget_before(time)

    def clear(self) -> None:
        """Forget everything: the clock was set back."""
        for track in (self._says, self._heard, *self._commands.values()):
            track.clear()


class Shares:
    """How long each one commanded: sampled every SHARE_STEP_S from `start_s` on."""

    def __init__(self, who: Commanded, start_s: float) -> None:
        self._who = who
        self._next = start_s
        self._counts = dict.fromkeys(WORDS, 0)

    def advance(self, until: float) -> None:
        """Count up to `until`, s, which must be long enough ago for `who` to know; `who` then forgets that time."""
        if until < self._next:
            return
        steps = int((until - self._next) / SHARE_STEP_S) + 1
        words = self._who.at(self._next + np.arange(steps) * SHARE_STEP_S)
        for word in WORDS:
            self._counts[word] += int((words == word).sum())
        self._next += steps * SHARE_STEP_S

    def restart(self, time: float) -> None:
        """Continue from `time`, since the clock was set back."""
        self._next = time

    @property
    def seconds(self) -> dict[str, float]:
        """Return who -> seconds, for those who commanded."""
        return {word: count * SHARE_STEP_S for word, count in self._counts.items() if count}


def shares_text(seconds: dict[str, float]) -> str:
    """Return a text for people: `operator 5.1 s (30 %), policy 11.9 s (70 %)`."""
    whole = sum(seconds.values())
    return ", ".join(f"{word} {time:.1f} s ({100.0 * time / whole:.0f} %)" for word, time in seconds.items())


def _since(text: str, received: float) -> float:
    """Return when a state began: the node's stamp, if it is on the bag's clock, else the arrival of the status."""
    try:
        since = float(text)
    except ValueError:
        return received
    return since if received - OLDEST_STATE_S <= since <= received else received


def _named(codes: Floats) -> Words:
    return np.asarray(_NAMES[np.where(np.isfinite(codes), codes, _CODES[UNKNOWN]).astype(np.intp)])
