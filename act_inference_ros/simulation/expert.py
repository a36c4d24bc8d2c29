"""The scripted expert: from the cube's true position to joint targets that pick it up and lift it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.simulation.scene import SCENE_FILE, DemoArm, import_mujoco

GRIP_OPEN_M = 0.030
GRIP_CLOSED_M = 0.010
"""Less than half the cube's edge, so that the gripper's position controller keeps pressing."""

HOVER_HEIGHT_M = 0.085
GRASP_HEIGHT_M = 0.019
LIFT_HEIGHT_M = 0.120

APPROACH_STEPS = 24
DESCEND_STEPS = 14
CLOSE_STEPS = 8
LIFT_STEPS = 16
HOLD_STEPS = 6
PLAN_STEPS = APPROACH_STEPS + DESCEND_STEPS + CLOSE_STEPS + LIFT_STEPS + HOLD_STEPS
"""Length of a plan, control steps of 1 / DemoArm.FPS each."""

_TOLERANCE_M = 1e-3


class Expert:
    """Plans pick-and-lift motions for a DemoArm; knows where the cube is, which a policy has to see."""

    def __init__(self) -> None:
        self._kinematics = _Kinematics()

    def plan(
        self, start: npt.NDArray[np.floating[Any]], cube_m: npt.NDArray[np.floating[Any]]
    ) -> npt.NDArray[np.float64]:
        """Joint targets (PLAN_STEPS, 6) for the control steps after now: above the cube, down, close, lift, hold.

        Args:
            start: (6,) joint positions now.
            cube_m: (3,) the cube's centre in the frame of the arm's base; its height is taken as on the table.

        Raises:
            ConfigurationError: if the cube is out of the arm's reach.
        """
        start_arm = np.asarray(start, dtype=np.float64)[:-1]
        above, at, lifted = (
            np.array([cube_m[0], cube_m[1], height]) for height in (HOVER_HEIGHT_M, GRASP_HEIGHT_M, LIFT_HEIGHT_M)
        )
        hover = self._kinematics.reach(above, start_arm)
        grasp = self._kinematics.reach(at, hover)
        lift = self._kinematics.reach(lifted, grasp)
        arm = np.concatenate(
            [
                minimum_jerk(start_arm, hover, APPROACH_STEPS),
                minimum_jerk(hover, grasp, DESCEND_STEPS),
                np.tile(grasp, (CLOSE_STEPS, 1)),
                minimum_jerk(grasp, lift, LIFT_STEPS),
                np.tile(lift, (HOLD_STEPS, 1)),
            ]
        )
        grip = np.full(PLAN_STEPS, GRIP_CLOSED_M)
        grip[: APPROACH_STEPS + DESCEND_STEPS] = GRIP_OPEN_M
        return np.column_stack([arm, grip])


def minimum_jerk(start: npt.NDArray[np.float64], end: npt.NDArray[np.float64], steps: int) -> npt.NDArray[np.float64]:
    """The `steps` points (steps, n) after `start` of a minimum-jerk motion that arrives at `end` with the last.

    Source: Flash and Hogan 1985, "The coordination of arm movements", with zero velocity and acceleration at both ends.
    """
    s = np.linspace(0.0, 1.0, steps + 1)[1:, None]
    travelled: npt.NDArray[np.float64] = 10.0 * s**3 - 15.0 * s**4 + 6.0 * s**5
    return start + (end - start) * travelled


class _Kinematics:
    """Where the arm has to be for the tip to be somewhere with the tool pointing down; its own copy of the scene."""

    _DAMPING = 0.02
    _MAX_STEP_RAD = 0.2
    _MAX_ITERATIONS = 200

    def __init__(self) -> None:
        self._mujoco = import_mujoco()
        self._model = self._mujoco.MjModel.from_xml_string(SCENE_FILE.read_text(encoding="utf-8"))
        self._data = self._mujoco.MjData(self._model)
        joints = [self._model.joint(name) for name in DemoArm.JOINTS[:-1]]
        self._positions = np.array([joint.qposadr[0] for joint in joints])
        self._columns = np.array([joint.dofadr[0] for joint in joints])
        self._tip = int(self._model.site("tip").id)
        self._low, self._high = np.array([DemoArm.LIMITS[name] for name in DemoArm.JOINTS[:-1]]).T

    def reach(self, tip_m: npt.NDArray[np.float64], start: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Arm positions (5,) with the tip at `tip_m` and the tool axis down, found from `start`.

        Damped least squares (Wampler 1986): dq = J^T (J J^T + damping^2 I)^-1 error. Roll, which turns the tool about
        its own axis, is kept at zero. Raises ConfigurationError if there is no such position within the joint limits.
        """
        arm = start.copy()
        arm[-1] = 0.0
        linear, angular = np.zeros((3, self._model.nv)), np.zeros((3, self._model.nv))
        for _ in range(self._MAX_ITERATIONS):
            self._data.qpos[self._positions] = arm
            self._mujoco.mj_kinematics(self._model, self._data)
            self._mujoco.mj_comPos(self._model, self._data)
            tool_axis = self._data.site_xmat[self._tip].reshape(3, 3)[:, 2]
            # The rotation that turns the tool axis onto straight down, as a vector; its size is the angle's sine.
            tilt = np.cross(tool_axis, (0.0, 0.0, -1.0))
            error = np.concatenate([tip_m - self._data.site_xpos[self._tip], tilt])
            if np.abs(error).max() < _TOLERANCE_M:
                return arm
            self._mujoco.mj_jacSite(self._model, self._data, linear, angular, self._tip)
            jacobian = np.concatenate([linear, angular])[:, self._columns[:-1]]
            damped = jacobian @ jacobian.T + self._DAMPING**2 * np.eye(6)
            change = jacobian.T @ np.linalg.solve(damped, error)
            arm[:-1] += np.clip(change, -self._MAX_STEP_RAD, self._MAX_STEP_RAD)
            arm = np.clip(arm, self._low, self._high)
        raise ConfigurationError(f"the arm cannot reach {np.round(tip_m, 3).tolist()} m with the gripper pointing down")
