"""Joint states of two drivers: the arm moves from where both measure it, and holds when one of them is lost."""

from dataclasses import replace

import numpy as np
import pytest

from act_inference_ros.execution import reasons
from act_inference_ros.execution.states import State
from test.execution.rig import SPEC, Rig

DRIVERS = {"/arm": ("lift", "pan"), "/hand": ("grip",)}


def commanding(rig: Rig) -> None:
    assert rig.chunk()
    assert rig.state is State.COMMANDING


def test_a_motion_starts_from_where_each_driver_measures_its_joints() -> None:
    rig = Rig(drivers=DRIVERS)
    rig.obeys = False
    rig.positions = {"pan": 0.1, "lift": -0.2, "grip": 0.3}
    rig.wait(0.1)
    commanding(rig)
    np.testing.assert_allclose(rig.trajectories[0].positions[0], [-0.2, 0.1], atol=0.02)
    assert rig.targets[0] == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(("lost", "joints"), [("/arm", "pan, lift"), ("/hand", "grip")])
def test_a_lost_driver_holds_by_name_and_the_arm_goes_on_by_itself(lost: str, joints: str) -> None:
    rig = Rig(drivers=DRIVERS)
    rig.wait(0.1)
    commanding(rig)
    rig.silent = {lost}
    rig.wait(0.3)
    assert (rig.state, rig.reason) == (State.HOLDING, f"stale: state {lost}")
    assert rig.supervisor.standing.detail.endswith(f"it has {joints}")
    rig.silent = set()
    rig.wait(0.1)
    commanding(rig)


def test_the_other_driver_does_not_make_up_for_a_joint_that_only_the_action_has() -> None:
    spec = replace(SPEC, state_dim=2)
    rig = Rig(spec=spec, drivers=DRIVERS, **{"state.joints": ["pan", "lift"], "action.joints": ["pan", "lift", "grip"]})
    rig.silent = {"/hand"}
    rig.wait(0.3)  # what came before is forgotten
    assert not rig.chunk()
    assert rig.reason == reasons.NOT_MEASURED
    assert "no position of grip on /arm or /hand for more than 0.2 s" in rig.supervisor.standing.detail
    rig.silent = set()
    rig.wait(0.1)
    commanding(rig)


def test_velocities_are_never_taken_for_positions() -> None:
    entries = ["pan", "lift", "grip", "grip/velocity"]
    rig = Rig(spec=replace(SPEC, state_dim=4), drivers=DRIVERS, **{"state.joints": entries})
    rig.velocities = {"grip": 7.0, "pan": 5.0, "lift": 5.0}
    rig.wait(0.1)
    assert rig.supervisor.measured(rig.now) == pytest.approx({"pan": 0.0, "lift": 0.0, "grip": 0.0})
    taken = rig.take()
    assert taken is not None
    np.testing.assert_allclose(taken.selection.vectors["observation.state"], [0.0, 0.0, 0.0, 7.0])
    commanding(rig)
    assert rig.configuration.action.names == ("pan", "lift", "grip")


def test_a_joint_on_two_topics_says_nothing_of_where_it_is() -> None:
    rig = Rig(drivers={"/arm": ("lift", "pan", "grip"), "/hand": ("grip",)})
    rig.wait(0.3)
    assert not rig.chunk()
    assert rig.reason == "stale: state /arm"
    assert "last refused: published twice: state /arm: grip on /arm and on /hand" in rig.supervisor.standing.detail
    assert "grip" not in rig.supervisor.measured(rig.now)
