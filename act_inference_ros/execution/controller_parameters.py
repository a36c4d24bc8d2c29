"""What the parameters of a joint_trajectory_controller mean for the motion, and what to set if they do not fit.

The names are those of ros2_controllers from Humble to its newest version; a controller that does not know a name is of
another version. Unknown values are not guessed: nothing is reported about them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

FROM_DESIRED = ("interpolate_from_desired_state", "open_loop_control")
"""Each makes a new trajectory start from the controller's commanded position: the first from Jazzy on, the second
before Jazzy."""


def names_to_ask(joints: Sequence[str]) -> tuple[str, ...]:
    """Return the parameters that a controller of these joints should be asked for.

    Ask for one parameter in each request: from Jazzy on one undeclared name makes the whole answer empty.
    """
    tolerances = [f"constraints.{joint}.trajectory" for joint in joints]
    return (
        "joints",
        "use_sim_time",
        "interpolation_method",
        "cmd_timeout",
        "allow_trajectory_replacement",
        "positions_upsampling.enable",
        "speed_scaling.state_interface",
        "speed_scaling_interface_name",
        *FROM_DESIRED,
        *tolerances,
    )


def forbids_overlap(joints: Sequence[str], values: Mapping[str, Any], use_sim_time: bool = False) -> str | None:
    """Return why trajectories must not begin with what the controller was told before; None if they may.

    `values` maps the names that the controller answered to their values. A controller that knows none of the parameters
    of a joint_trajectory_controller may ignore stamps and would play the past again.
    """
    if "interpolation_method" not in values or "joints" not in values:
        return "it does not show the parameters of a joint_trajectory_controller"
    if sorted(values["joints"]) != sorted(joints):
        return "it moves other joints, and refuses every command"
    if values.get("use_sim_time", use_sim_time) != use_sim_time:
        return "its use_sim_time is not ours"
    if values.get("allow_trajectory_replacement"):
        return "allow_trajectory_replacement would play points of the past late; set it to false"
    return None


def fills_speed(values: Mapping[str, Any]) -> bool:
    """Return whether `speed_scaling_factor` in a controller's states is its real speed, even if the factor is 0.0.

    Versions that have `speed_scaling.state_interface`, even an empty one, fill the factor in. A scaled controller with
    `speed_scaling_interface_name` fills it in on some distributions only, so its zero proves nothing.
    """
    return "speed_scaling.state_interface" in values


def shortcomings(
    controller: str,
    joints: Sequence[str],
    values: Mapping[str, Any],
    use_sim_time: bool,
    following: Mapping[str, float],
    overlaps: bool = True,
) -> list[str]:
    """Return what is wrong with a controller's parameters, each as one sentence that says what to set.

    `values` maps the names that the controller answered to their values. `following` is each joint's `max_deviation`,
    ROS units. `overlaps`: the messages begin with what the controller was told before, so the start point of its
    trajectories does not matter.
    """
    found = []
    theirs = list(values.get("joints", joints))
    if sorted(theirs) != sorted(joints):
        found.append(
            f"it moves {theirs}, but controller.{controller}.joints is {list(joints)}: it refuses every command"
        )
    if values.get("use_sim_time", use_sim_time) != use_sim_time:
        found.append(
            f"its use_sim_time is {_yaml(not use_sim_time)} and ours is {_yaml(use_sim_time)}: it takes our stamps for "
            "another time and ignores or refuses them; set both alike"
        )
    if values.get("interpolation_method") == "none":
        found.append("its interpolation_method is none: the arm goes in steps; set splines")
    known = [name for name in FROM_DESIRED if name in values]
    if not overlaps and known and not any(values[name] for name in known):
        found.append(
            f"each trajectory starts from where the arm is measured, which pulls it back with every chunk; set "
            f"{known[0]}: true, or controller.{controller}.overlap: auto"
        )
    if values.get("allow_trajectory_replacement"):
        found.append("allow_trajectory_replacement plays points of the past late; set it to false")
    if values.get("positions_upsampling.enable"):
        found.append("positions_upsampling is for points without velocities: ours have some, and need none of it")
    if values.get("speed_scaling.state_interface") or values.get("speed_scaling_interface_name"):
        found.append("it scales the speed (a slider on the robot): below 1 the arm comes late")
    if values.get("cmd_timeout", 0.0) > 0.0:
        found.append(f"its cmd_timeout is {values['cmd_timeout']} s: it may give up a trajectory by itself")
    for joint in joints:
        tolerance = values.get(f"constraints.{joint}.trajectory", 0.0)
        if 0.0 < tolerance < following.get(joint, 0.0):
            found.append(
                f"constraints.{joint}.trajectory is {tolerance:g}: an arm that lags by more is held there, and nobody "
                f"is told; set it to 0, or well above the lag at joint.{joint}.max_velocity"
            )
    return found


def _yaml(value: bool) -> str:
    return "true" if value else "false"
