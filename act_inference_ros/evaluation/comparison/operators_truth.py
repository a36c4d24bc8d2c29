"""OperatorsTruth: the truth only at instants at which the operator commanded.

In a recording of a policy's run most commands are the policy's own. Compared with these, any policy would look right.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from act_inference_ros.evaluation.comparison.truth import COMMANDS, Floats, Truth
from act_inference_ros.evaluation.comparison.who_commanded import NOBODY, OPERATOR, Commanded
from act_inference_ros.robot.configuration import RobotConfiguration


class OperatorsTruth(Truth):
    """Like Truth, but nan at every instant at which the operator did not command, according to `who`.

    Measured positions (a controller whose truth is the state) also count while nobody commanded: an arm that a person
    moves by hand gets no commands.
    """

    def __init__(self, configuration: RobotConfiguration, sources: Mapping[str, str], who: Commanded) -> None:
        super().__init__(configuration, sources, who)
        self._commanded = who

    def at(self, times: npt.ArrayLike) -> Floats:
        """Return the truth (n, joints of the action) at `times` (n,), ROS units; nan where there is none."""
        values = super().at(times)
        words = self._commanded.at(np.asarray(times, dtype=np.float64))
        operators = words == OPERATOR
        not_the_nodes = operators | (words == NOBODY)
        for name, source in self.sources.items():
            others = ~(operators if source == COMMANDS else not_the_nodes)
            values[np.ix_(others, self._columns[name])] = np.nan
        return values
