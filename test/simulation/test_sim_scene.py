"""The demo robot's scene: its limits, its clock, its images, and what is said when a library is missing."""

import builtins
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.errors import ConfigurationError, MissingDependencyError
from act_inference_ros.simulation.scene import LIFTED_RISE_M, DemoArm, import_mujoco

pytestmark = pytest.mark.skipif(find_spec("mujoco") is None, reason="needs MuJoCo")

HOME = np.array(DemoArm.HOME, np.float32)


@pytest.fixture
def blind_arm() -> DemoArm:
    return DemoArm(seed=1, render=False)


@pytest.fixture(scope="module")
def arm() -> Iterator[DemoArm]:
    arm = DemoArm(seed=1, image_height=48, image_width=64)
    yield arm
    arm.close()


def test_published_limits_are_the_models(blind_arm: DemoArm) -> None:
    model = blind_arm._model
    for index, name in enumerate(DemoArm.JOINTS):
        assert tuple(model.joint(name).range) == DemoArm.LIMITS[name]
        assert tuple(model.actuator_ctrlrange[index]) == pytest.approx(DemoArm.LIMITS[name])
        assert model.actuator(index).name == name


def test_the_arm_starts_near_home_at_rest_with_the_cube_on_the_table(blind_arm: DemoArm) -> None:
    assert np.abs(blind_arm.positions - HOME).max() <= 0.05
    assert not blind_arm.velocities.any()
    assert blind_arm.time_s == 0.0
    assert blind_arm.cube_height_m == 0.0
    assert not blind_arm.cube_lifted


def test_the_arm_reaches_its_target(blind_arm: DemoArm) -> None:
    target = HOME + np.array([0.4, 0.1, -0.2, -0.3, 0.5, -0.01], np.float32)
    blind_arm.step(target, 2.0)
    np.testing.assert_allclose(blind_arm.positions, target, atol=0.01)


def test_a_target_beyond_the_limits_is_clamped(blind_arm: DemoArm) -> None:
    blind_arm.step(HOME + np.array([10.0, 0, 0, 0, 0, 0]), 4.0)
    assert blind_arm.positions[0] == pytest.approx(DemoArm.LIMITS["pan"][1], abs=0.02)


def test_a_blocked_arm_stays_where_it_is_and_only_the_arm(blind_arm: DemoArm) -> None:
    blind_arm.step(HOME + np.array([0.4, 0.1, 0, 0, 0, -0.01]), 0.1)
    held, height = blind_arm.positions, blind_arm._cube + 2
    blind_arm._data.qpos[height] += 0.1
    blind_arm.blocked = True
    for _ in range(50):
        blind_arm.step(HOME - 0.3, 0.01)
    assert np.array_equal(blind_arm.positions, held)
    assert not blind_arm.velocities.any()
    assert blind_arm.cube_height_m < 0.05
    blind_arm.blocked = False
    blind_arm.step(HOME + np.array([-0.3, 0, 0, 0, 0, 0]), 2.0)
    assert blind_arm.positions[0] == pytest.approx(-0.3, abs=0.01)


def test_odd_durations_add_up_on_the_simulated_clock(blind_arm: DemoArm) -> None:
    for _ in range(100):
        blind_arm.step(HOME, 0.0123)
    assert blind_arm.time_s == pytest.approx(1.23, abs=0.0026)


@pytest.mark.parametrize("target", [np.zeros(5), np.full(6, np.nan), np.zeros((6, 1))])
def test_a_target_that_is_not_six_finite_numbers_is_refused(blind_arm: DemoArm, target: npt.NDArray[Any]) -> None:
    with pytest.raises(ConfigurationError, match="6 finite joint positions"):
        blind_arm.step(target, 0.05)
    assert blind_arm.time_s == 0.0


@pytest.mark.parametrize("duration_s", [-0.1, np.nan, np.inf])
def test_an_impossible_duration_is_refused(blind_arm: DemoArm, duration_s: float) -> None:
    with pytest.raises(ConfigurationError, match="duration_s"):
        blind_arm.step(HOME, duration_s)


def test_a_raised_cube_counts_as_lifted_only_above_the_threshold(blind_arm: DemoArm) -> None:
    height = blind_arm._cube + 2
    blind_arm._data.qpos[height] += LIFTED_RISE_M - 0.001
    assert not blind_arm.cube_lifted
    blind_arm._data.qpos[height] += 0.002
    assert blind_arm.cube_lifted
    assert blind_arm.cube_height_m == pytest.approx(LIFTED_RISE_M + 0.001)


def test_the_same_seed_gives_the_same_start_and_another_seed_another(blind_arm: DemoArm) -> None:
    def start(seed: int | None) -> npt.NDArray[np.float64]:
        blind_arm.reset(seed)
        return np.concatenate([blind_arm.positions, blind_arm.cube_position_m])

    first = start(7)
    assert np.array_equal(start(7), first)
    assert not np.array_equal(start(8), first)
    assert not np.array_equal(start(None), start(8))


def test_reset_forgets_a_step_that_was_left_over(blind_arm: DemoArm) -> None:
    blind_arm.step(HOME, 0.052)
    blind_arm.reset()
    blind_arm.step(HOME, 0.05)
    assert blind_arm.time_s == pytest.approx(0.05)


def test_images_have_the_asked_size_and_show_the_red_cube(arm: DemoArm) -> None:
    arm.reset(3)
    image = arm.render()
    assert image.dtype == np.uint8
    assert image.shape == (48, 64, 3)
    red = (image[..., 0] > 150) & (image[..., 1] < 60) & (image[..., 2] < 60)
    assert 5 < red.sum() < 500


@pytest.mark.parametrize("camera", DemoArm.CAMERAS)
def test_every_camera_sees_something(arm: DemoArm, camera: str) -> None:
    arm.reset(3)
    assert arm.render(camera).std() > 5.0


def test_images_larger_than_mujocos_default_buffer_can_be_had() -> None:
    arm = DemoArm(image_height=600, image_width=800)
    assert arm.render().shape == (600, 800, 3)
    arm.close()


def test_a_covered_camera_is_black_until_it_is_uncovered(arm: DemoArm) -> None:
    arm.covered = True
    assert not arm.render().any()
    arm.covered = False
    assert arm.render().any()


def test_an_unknown_camera_is_named_with_the_known_ones(arm: DemoArm) -> None:
    with pytest.raises(ConfigurationError, match=r"'top'.*front, wrist"):
        arm.render("top")


def test_an_arm_made_without_rendering_says_so(blind_arm: DemoArm) -> None:
    with pytest.raises(ConfigurationError, match="render=True"):
        blind_arm.render()


def test_an_image_size_must_be_positive() -> None:
    with pytest.raises(ConfigurationError, match="0x96"):
        DemoArm(image_height=0)


def test_rendering_goes_on_after_close(arm: DemoArm) -> None:
    before = arm.render()
    arm.close()
    arm.close()
    assert np.array_equal(arm.render(), before)


def test_a_missing_mujoco_is_one_line_that_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_mujoco(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "mujoco":
            raise ModuleNotFoundError("No module named 'mujoco'", name="mujoco")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_mujoco)
    with pytest.raises(MissingDependencyError, match="pip install mujoco") as caught:
        import_mujoco()
    assert "\n" not in str(caught.value)


def test_missing_opengl_libraries_are_one_line_that_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    import mujoco

    def fail(*args: object) -> NoReturn:
        raise RuntimeError("no EGL device\nand a second line")

    monkeypatch.setattr(mujoco, "Renderer", fail)
    with pytest.raises(MissingDependencyError, match="libegl1 libegl-mesa0 libgl1-mesa-dri") as caught:
        DemoArm()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, "egl"), ({"DISPLAY": ":0"}, None), ({"WAYLAND_DISPLAY": "w"}, None), ({"MUJOCO_GL": "osmesa"}, "osmesa")],
)
def test_egl_is_chosen_only_without_a_display_and_without_the_users_choice(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, Any], expected: str | None
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", "linux")
    import_mujoco()
    import os

    assert os.environ.get("MUJOCO_GL") == expected
