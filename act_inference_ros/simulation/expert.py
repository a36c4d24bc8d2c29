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

HOVER_HEIGHT_M = 0.075
GRASP_HEIGHT_M = 0.019
LIFT_HEIGHT_M = 0.120

APPROACH_STEPS = 24
DESCEND_STEPS = 22
DESCEND_AT = APPROACH_STEPS - 6
"""Going down begins before the approach has ended, so that the arm never rests above the cube: a policy, which has no
memory, learns badly to leave a place where demonstrations dwell."""
CLOSE_AT = DESCEND_AT + DESCEND_STEPS
LIFT_AT = CLOSE_AT + 6
LIFT_STEPS = 18
PLAN_STEPS = LIFT_AT + LIFT_STEPS + 4
"""Length of a plan, control steps of 1 / DemoArm.FPS each; the last few hold still."""

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
        arm = np.tile(start_arm, (PLAN_STEPS, 1))
        for first, length, change in (
            (0, APPROACH_STEPS, hover - start_arm),
            (DESCEND_AT, DESCEND_STEPS, grasp - hover),
            (LIFT_AT, LIFT_STEPS, lift - grasp),
        ):
            arm += ease_out(first, length)[:, None] * change
        grip = np.full(PLAN_STEPS, GRIP_CLOSED_M)
        grip[:CLOSE_AT] = GRIP_OPEN_M
        return np.column_stack([arm, grip])


def ease_out(first: int, length: int) -> npt.NDArray[np.float64]:
    """How much of a motion is done after each step of the plan, 0..1: (PLAN_STEPS,).

    The motion starts at step `first`, takes `length` steps and slows down to its end. It sets off at full speed (the
    arm's inertia rounds that off), unlike a minimum-jerk motion: a policy without memory that is asked again and again
    would never get beyond a slow start.
    """
    s = np.clip((np.arange(PLAN_STEPS) + 1 - first) / length, 0.0, 1.0)
    remaining: npt.NDArray[np.float64] = (1.0 - s) ** 1.5
    return 1.0 - remaining


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
