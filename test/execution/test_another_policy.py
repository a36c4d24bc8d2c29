"""Another policy than the one that was configured stops the arm until an operator accepts it."""

from act_inference_ros.execution import reasons
from act_inference_ros.execution.states import State
from test.execution.rig import Rig


def test_another_policy_stops_the_arm_and_only_a_cleared_stop_accepts_it() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    rig.supervisor.found_another_policy(rig.now, rig.now, "cd", "ab is now cd")
    assert (rig.state, rig.reason) == (State.STOPPED, reasons.ANOTHER_POLICY)
    assert not rig.pipeline.take_policy_acceptance()
    assert rig.operator.clear_stop(rig.now).accepted
    assert rig.state is State.PAUSED
    assert rig.pipeline.take_policy_acceptance() == "cd"
    assert not rig.pipeline.take_policy_acceptance(), "it is accepted once"


def test_a_stop_for_something_else_accepts_no_other_policy() -> None:
    rig = Rig()
    rig.chunk()
    rig.operator.stop(rig.now)
    rig.operator.clear_stop(rig.now)
    assert not rig.pipeline.take_policy_acceptance()


def test_what_was_computed_before_a_policy_was_accepted_stops_nothing() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    taken = rig.now
    rig.supervisor.found_another_policy(rig.now, taken, "cd", "ab is now cd")
    rig.operator.clear_stop(rig.now)
    rig.operator.resume(rig.now)
    rig.supervisor.found_another_policy(rig.now, taken, "cd", "ab is now cd")
    assert rig.state is State.WAITING


def test_an_acceptance_does_not_outlive_a_deactivation() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    rig.supervisor.found_another_policy(rig.now, rig.now, "cd", "ab is now cd")
    rig.operator.clear_stop(rig.now)
    rig.supervisor.deactivate(rig.now)
    rig.supervisor.activate(rig.now)
    assert not rig.pipeline.take_policy_acceptance()


def test_a_policy_that_cannot_be_accepted_says_what_to_do() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    rig.supervisor.found_another_policy(rig.now, rig.now, "", "action_dim 14 and 7")
    assert rig.supervisor.standing.detail == "action_dim 14 and 7; configure the node anew"


def test_an_acceptance_outlives_a_reset() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    rig.supervisor.found_another_policy(rig.now, rig.now, "cd", "ab is now cd")
    rig.operator.clear_stop(rig.now)
    rig.operator.reset(rig.now)
    assert rig.pipeline.take_policy_acceptance() == "cd"
