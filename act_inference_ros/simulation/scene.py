"""DemoArm: the demo robot and its cube in MuJoCo, advanced by position targets and seen through cameras."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ConfigurationError, MissingDependencyError

SCENE_FILE = Path(__file__).with_name("tiny_arm.xml")

LIFTED_RISE_M = 0.035
"""The cube counts as lifted once its centre rose by more than this."""
# Not the policy's order, as on a real robot with its broadcaster's order: joints must be bound by name.
JOINT_STATE_ORDER = ("wrist", "grip", "elbow", "pan", "roll", "shoulder")

HOME_JITTER_RAD = 0.05
CUBE_HALF_EDGE_M = 0.018
CUBE_RADIUS_M = (0.19, 0.29)
CUBE_BEARING_RAD = 0.55
CUBE_YAW_RAD = 0.15

_GL_LIBRARIES = (
    "MuJoCo cannot render here (MUJOCO_GL={backend}: {error}); "
    "on Debian and Ubuntu: sudo apt install libegl1 libegl-mesa0 libgl1-mesa-dri, and leave MUJOCO_GL unset"
)


def import_mujoco() -> Any:
    """Return the mujoco module, set up to render without a display where there is none.

    MuJoCo reads MUJOCO_GL when it is imported, so the choice is made here: egl on a Linux machine without a display,
    unless MUJOCO_GL is set already. Raises MissingDependencyError if mujoco or the OpenGL libraries are missing.
    """
    has_display = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if sys.platform == "linux" and not has_display:
        os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        import mujoco
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"the demo robot needs MuJoCo ({error}): pip install mujoco") from error
    except Exception as error:  # without libEGL, PyOpenGL may raise anything
        raise _rendering_error(error) from error
    return mujoco


class DemoArm:
    """A small six-joint arm on a table with a cube: five hinges (rad) and a gripper (m from the middle, per finger).

    Not thread-safe: make all calls from one thread, and in any case `render` and `close` from the thread of the first
    `render`, which owns the OpenGL context. That need not be the main thread.

    Attributes:
        covered: while true, `render` returns black images, as if somebody held a hand over the camera.
        blocked: while true, no joint moves, whatever the target, as if somebody held the arm. The cube is free.
    """

    JOINTS = ("pan", "shoulder", "elbow", "wrist", "roll", "grip")
    FPS = 20.0
    HOME: ClassVar[tuple[float, ...]] = (0.0, -0.5, 1.7, 1.9, 0.0, 0.03)
    LIMITS: ClassVar[MappingProxyType[str, tuple[float, float]]] = MappingProxyType(
        {
            "pan": (-1.8, 1.8),
            "shoulder": (-1.7, 1.7),
            "elbow": (-0.2, 2.7),
            "wrist": (-1.9, 1.9),
            "roll": (-1.9, 1.9),
            "grip": (0.0, 0.032),
        }
    )
    CAMERAS = ("front", "wrist", "overview")

    def __init__(self, seed: int = 0, image_height: int = 96, image_width: int = 96, render: bool = True) -> None:
        """Load the scene and put it into a first random start, as `reset` does.

        Args:
            seed: of the starts; the same seed gives the same sequence of starts.
            image_height: of rendered images, pixels.
            image_width: of rendered images, pixels.
            render: whether images will be wanted; then missing OpenGL libraries are an error here and now.

        Raises:
            ConfigurationError: if an image size is not positive.
            MissingDependencyError: if mujoco is not installed, or the OpenGL libraries are missing.
        """
        if image_height < 1 or image_width < 1:
            raise ConfigurationError(f"image size: expected at least 1x1 pixels, got {image_height}x{image_width}")
        self._mujoco = import_mujoco()
        self._model = self._mujoco.MjModel.from_xml_string(SCENE_FILE.read_text(encoding="utf-8"))
        self._model.vis.global_.offheight = image_height  # MuJoCo's off-screen buffer bounds the image size
        self._model.vis.global_.offwidth = image_width
        self._data = self._mujoco.MjData(self._model)
        joints = [self._model.joint(name) for name in self.JOINTS]
        self._positions = np.array([joint.qposadr[0] for joint in joints])
        self._velocities = np.array([joint.dofadr[0] for joint in joints])
        other_finger = self._model.joint("grip_right")
        self._arm_positions = np.append(self._positions, other_finger.qposadr[0])
        self._arm_velocities = np.append(self._velocities, other_finger.dofadr[0])
        self._cube = int(self._model.joint("cube").qposadr[0])
        self._rng = np.random.default_rng(seed)
        self._image_shape = (image_height, image_width, 3)
        self._render_wanted = render
        self._renderer: Any = None
        self.covered = False
        self.blocked = False
        if render:
            self._check_rendering()
        self.reset()

    def reset(self, seed: int | None = None) -> None:
        """Arm home with a little jitter, cube at rest at a random place, time zero.

        Args:
            seed: starts a new sequence of starts; without it the next one of the present sequence is taken.
        """
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self._mujoco.mj_resetData(self._model, self._data)
        start = np.array(self.HOME)
        start[:-1] += self._rng.uniform(-HOME_JITTER_RAD, HOME_JITTER_RAD, len(start) - 1)
        start = self._clamped(start)
        self._data.qpos[self._positions] = start
        self._data.qpos[self._model.joint("grip_right").qposadr[0]] = start[-1]
        self._data.ctrl[:] = start

        radius = self._rng.uniform(*CUBE_RADIUS_M)
        bearing = self._rng.uniform(-CUBE_BEARING_RAD, CUBE_BEARING_RAD)
        yaw = bearing + self._rng.uniform(-CUBE_YAW_RAD, CUBE_YAW_RAD)
        position = (radius * np.cos(bearing), radius * np.sin(bearing), CUBE_HALF_EDGE_M)
        quaternion = (np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))
        self._data.qpos[self._cube : self._cube + 7] = (*position, *quaternion)
        self._due_s = 0.0
        self._mujoco.mj_forward(self._model, self._data)

    def step(self, target: npt.ArrayLike, duration_s: float) -> None:
        """Advance the physics by `duration_s`, holding `target`; nothing is rendered.

        Durations that are no multiple of the physics step (5 ms) are made up for by later calls.

        Args:
            target: (6,) joint positions in the order of `JOINTS`, clamped to `LIMITS`.
            duration_s: simulated time to pass, >= 0.

        Raises:
            ConfigurationError: if the target is not six finite numbers, or the duration is negative or not finite.
        """
        wanted = np.asarray(target, dtype=np.float64)
        if wanted.shape != (len(self.JOINTS),) or not np.isfinite(wanted).all():
            raise ConfigurationError(f"target: expected {len(self.JOINTS)} finite joint positions, got {target!r}")
        if not 0.0 <= duration_s < np.inf:
            raise ConfigurationError(f"duration_s: expected a time >= 0, got {duration_s!r}")
        self._data.ctrl[:] = self._clamped(wanted)
        self._due_s += duration_s
        half_step_s = 0.5 * self._model.opt.timestep
        held = self._data.qpos[self._arm_positions].copy()
        while self._data.time + half_step_s < self._due_s:
            self._mujoco.mj_step(self._model, self._data)
            if self.blocked:
                self._data.qpos[self._arm_positions] = held
                self._data.qvel[self._arm_velocities] = 0.0

    @property
    def time_s(self) -> float:
        """Simulated seconds since the last reset."""
        return float(self._data.time)

    @property
    def positions(self) -> npt.NDArray[np.float32]:
        """Joint positions (6,), rad and, for the gripper, m."""
        return self._data.qpos[self._positions].astype(np.float32)  # type: ignore[no-any-return]  # mujoco is untyped

    @property
    def velocities(self) -> npt.NDArray[np.float32]:
        """Joint velocities (6,), rad/s and, for the gripper, m/s."""
        return self._data.qvel[self._velocities].astype(np.float32)  # type: ignore[no-any-return]  # mujoco is untyped

    @property
    def cube_position_m(self) -> npt.NDArray[np.float64]:
        """The cube's centre (3,), m, in the frame of the arm's base."""
        return np.array(self._data.qpos[self._cube : self._cube + 3])

    @property
    def cube_pose(self) -> npt.NDArray[np.float64]:
        """The cube's centre, m, and orientation, a quaternion w x y z: (7,), in the frame of the arm's base."""
        return np.array(self._data.qpos[self._cube : self._cube + 7])

    def show(self, positions: npt.ArrayLike, cube_pose: npt.ArrayLike) -> None:
        """Put arm and cube where they were, for `render`; no time passes.

        Args:
            positions: (6,) joint positions in the order of `JOINTS`.
            cube_pose: (7,), as `cube_pose` gives it.
        """
        self._data.qpos[self._positions] = positions
        self._data.qpos[self._arm_positions[-1]] = self._data.qpos[self._positions[-1]]
        self._data.qpos[self._cube : self._cube + 7] = cube_pose
        self._mujoco.mj_forward(self._model, self._data)

    @property
    def cube_height_m(self) -> float:
        """How far the cube's centre is above where it is with the cube flat on the table."""
        return float(self._data.qpos[self._cube + 2]) - CUBE_HALF_EDGE_M

    @property
    def cube_lifted(self) -> bool:
        """Whether the cube's centre is more than 35 mm higher than on the table."""
        return self.cube_height_m > LIFTED_RISE_M

    def render(self, camera: str = "front") -> npt.NDArray[np.uint8]:
        """What a camera sees now: uint8 (image_height, image_width, 3) RGB; black while `covered`.

        Raises:
            ConfigurationError: if the camera is unknown, or the arm was made with render=False.
            MissingDependencyError: if the OpenGL libraries are missing.
        """
        if camera not in self.CAMERAS:
            raise ConfigurationError(f"camera {camera!r}: the demo robot has {', '.join(self.CAMERAS)}")
        if not self._render_wanted:
            raise ConfigurationError("this DemoArm was made with render=False; make it with render=True to see images")
        if self.covered:
            return np.zeros(self._image_shape, np.uint8)
        renderer = self._open_renderer()
        renderer.update_scene(self._data, camera=camera)
        return np.array(renderer.render(), dtype=np.uint8)

    def close(self) -> None:
        """Free the OpenGL context. May be called more than once; the arm can be used again afterwards."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _clamped(self, target: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        low, high = np.array([self.LIMITS[name] for name in self.JOINTS]).T
        return np.clip(target, low, high)

    def _open_renderer(self) -> Any:
        if self._renderer is None:
            height, width, _ = self._image_shape
            try:
                self._renderer = self._mujoco.Renderer(self._model, height, width)
            except Exception as error:
                raise _rendering_error(error) from error
        return self._renderer

    def _check_rendering(self) -> None:
        # The context is thrown away again: the thread that renders may be another one than this.
        self._open_renderer()
        self.close()


def _rendering_error(error: Exception) -> MissingDependencyError:
    backend = os.environ.get("MUJOCO_GL", "default")
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return MissingDependencyError(_GL_LIBRARIES.format(backend=backend, error=reason[0]))
