"""The draft of a parameter file, as text: every value has a comment with its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from act_inference_ros.drafting.cameras import CameraDraft, find_cameras, text_of
from act_inference_ros.drafting.controllers import ControllerDraft, find_controllers
from act_inference_ros.drafting.facts import DataSetFacts, PolicyFacts, RobotFacts
from act_inference_ros.drafting.joint_lines import write_joint, write_names, write_start_pose
from act_inference_ros.drafting.joints import JointsDraft, draft_joints, state_key
from act_inference_ros.drafting.states import StateDraft, find_states
from act_inference_ros.drafting.text import Page, number, word, words
from act_inference_ros.errors import ConfigurationError
from act_inference_ros.interfaces import COMMAND_INTERFACES, TEMPORAL_ENSEMBLE
from act_inference_ros.policy.config import ACTION_KEY
from act_inference_ros.robot.parameters import PARAMETERS, UNKNOWN
from act_inference_ros.robot.robot_description import DescribedJoint, read_description
from act_inference_ros.spec import shown_id

_DEFAULTS = {parameter.name: parameter.default for parameter in PARAMETERS}


@dataclass(frozen=True)
class Draft:
    """A parameter file. `to_fill_in` counts the values that a person must fill in."""

    text: str
    to_fill_in: int


def draft_file(
    policy: PolicyFacts,
    dataset: DataSetFacts | None,
    without_dataset: str,
    robot: RobotFacts | None,
    given_joints: Sequence[str] = (),
) -> Draft:
    """Write the draft.

    Args:
        policy: the checkpoint.
        dataset: its data set, None if there is none.
        without_dataset: why there is none.
        robot: a bag or the live graph, None where none was looked at.
        given_joints: the joints' names in ROS, in the policy's order, if the user says so.

    Raises ConfigurationError if `given_joints` do not fit the policy or the robot.
    """
    problems = list(robot.problems) if robot is not None else []
    described = _described(robot, problems)
    source = robot.name if robot is not None else "no robot"
    in_dataset = dataset.joints if dataset is not None else {}
    names = given_joints or in_dataset.get(state_key(policy, dataset)) or in_dataset.get(ACTION_KEY) or ()
    state = find_states(names, robot)
    joints = draft_joints(policy, dataset, state.merged if state else None, described, source, given_joints)
    page = Page()
    _rates(page, policy, dataset, robot)
    _state(page, policy, joints, state, robot)
    _cameras(page, policy, find_cameras(policy.spec.images, robot.images if robot else ()), robot)
    _ages(page, state, robot)
    page.entry(2, "joint:", "limits are in ROS units: rad and rad/s, m and m/s")
    for joint in joints.joints.values():
        write_joint(page, joint, is_moved=any(joint.name.ros == each.ros for each in joints.action))
    _controllers(page, joints, state, robot)
    write_start_pose(page, joints)
    _merging(page, policy)
    if policy.spec.environment_state_dim is not None:
        page.entry(2, "environment_state:")
        page.entry(
            3, f'topic: "{UNKNOWN}"', "the policy reads observation.environment_state, which is yours to publish"
        )
    body = page.text
    open_values = sum(line.split("#")[0].count(UNKNOWN) for line in body.splitlines())
    return Draft(_head(policy, dataset, without_dataset, robot, problems, open_values) + body, open_values)


def _head(
    policy: PolicyFacts,
    dataset: DataSetFacts | None,
    without_dataset: str,
    robot: RobotFacts | None,
    problems: Sequence[str],
    open_values: int,
) -> str:
    page = Page()
    page.comment(0, "Drafted by draft_robot. It is not a safety function: read every line before the arm moves.")
    page.comment(0, f"policy: {policy.name} ({shown_id(policy.spec.policy_id)})")
    page.comment(
        0,
        f"data set: {dataset.name} (meta/, first frames of its episodes)"
        if dataset
        else f"data set: none; {without_dataset}",
    )
    page.comment(0, f"robot: {robot.name}" if robot else "robot: none; give --bag or --live")
    for problem in problems:
        page.comment(0, f"not read: {problem}")
    if open_values:
        page.comment(
            0,
            f'{open_values} places are left to fill in: search for {UNKNOWN}. policy_node and eval_policy refuse the '
            f"file until then. A name such as {UNKNOWN}j0 stands in several places: replace it in all of them.",
        )  # fmt: skip
    page.entry(0, "/**/policy_node:")
    page.entry(1, "ros__parameters:")
    return page.text


def _described(robot: RobotFacts | None, problems: list[str]) -> Mapping[str, DescribedJoint]:
    if robot is None or not robot.description:
        return {}
    try:
        return read_description(robot.description)
    except ConfigurationError as error:
        problems.append(f"{robot.description_source}: {error}")
        return {}


def _rates(page: Page, policy: PolicyFacts, dataset: DataSetFacts | None, robot: RobotFacts | None) -> None:
    rates = [topic.rate for topic in robot.images if topic.rate] if robot else []
    between = dict.fromkeys(f"{rate:.1f}" for rate in (min(rates), max(rates))) if rates else ()
    seen = f"the cameras in {robot.name} have {' to '.join(between)} images a second" if robot and rates else ""
    fps = dataset.fps if dataset is not None else None
    if fps is None:
        page.entry(2, f'fps: "{UNKNOWN}"', f"rate of the training data; {seen or 'nothing tells it'}")
    else:
        page.entry(2, f"fps: {number(fps)}", f"rate of the training data, by its info.json{'; ' if seen else ''}{seen}")
    rate = float(str(_DEFAULTS["inference_rate"]))
    lasts = f"; a chunk of {policy.spec.chunk_size} steps lasts {policy.spec.chunk_size / fps:.3g} s" if fps else ""
    page.entry(2, f"inference_rate: {number(min(rate, fps or rate))}", f"chunks per second at most: the default{lasts}")


def _state(
    page: Page, policy: PolicyFacts, joints: JointsDraft, state: StateDraft | None, robot: RobotFacts | None
) -> None:
    page.entry(2, "state:")
    if state is not None and robot is not None:
        rate = "" if state.merged.rate is None else f", {state.merged.rate:.1f} messages a second"
        others = ", ".join(each.topic for each in robot.states if each.topic not in state.names)
        others = f"; besides there {'are' if ',' in others else 'is'} {others}" if others else ""
        if len(state.topics) > 1:
            slowest = f"{robot.name}: each has a part of the joints{rate} on the slowest{others}"
            page.entry(3, f"topics: {words(state.names)}", slowest)
        else:
            seen = f"{robot.name}: sensor_msgs/JointState{rate}{others}"
            page.entry(3, f"topic: {word(state.names[0])}", seen)
    else:
        there = ", ".join(each.topic for each in robot.states) if robot else ""
        page.entry(3, f'topic: "{UNKNOWN}"', f"sensor_msgs/JointState; candidates: {there or 'none were seen'}")
    if joints.state:
        write_names(page, 3, "joints", joints.state, "in the policy's order, which is the data set's")
    if [each.ros for each in joints.action] != [each.ros for each in joints.state]:
        page.entry(2, "action:")
        write_names(page, 3, "joints", joints.action, "in the policy's order, which is the data set's")


def _cameras(page: Page, policy: PolicyFacts, cameras: Sequence[CameraDraft], robot: RobotFacts | None) -> None:
    if not cameras:
        return
    page.entry(2, f"cameras: {words(policy.spec.cameras)}", "what the policy reads, by the checkpoint's config.json")
    page.entry(2, "camera:")
    for camera in cameras:
        page.entry(3, f"{word(camera.image.camera)}:", f"the policy reads {camera.image.width}x{camera.image.height}")
        if camera.topic is not None and robot is not None:
            page.entry(4, f"topic: {word(camera.topic.topic)}", f"{robot.name}: {camera.why}")
            page.entry(4, f"transport: {camera.topic.transport}", "by the type of its messages")
        else:
            there = "; ".join(f"{each.topic}, {each.transport}, {text_of(each)}" for each in camera.candidates)
            page.entry(4, f'topic: "{UNKNOWN}"', f"{camera.why}; candidates: {there or 'none were seen'}")
            page.entry(4, f'transport: "{UNKNOWN}"', "raw or compressed, as the topic's messages are")
    resized = [camera.image.camera for camera in cameras if camera.resized]
    if resized:
        page.entry(
            2,
            "resize: true",
            f"images of {', '.join(resized)} have another size than the policy reads; was the data set made of such "
            "images, resized and not cropped?",
        )


def _ages(page: Page, state: StateDraft | None, robot: RobotFacts | None) -> None:
    there = [each.rate for each in robot.images] if robot else []
    there += [each.rate for each in state.topics] if state else []
    rates = [rate for rate in there if rate]
    slowest = 1.0 / min(rates) if rates else 0.0
    where = f"in {robot.name} the slowest input has a period of {slowest:.3g} s" if robot and rates else ""
    age, skew = float(str(_DEFAULTS["max_age"])), float(str(_DEFAULTS["max_skew"]))
    page.entry(
        2,
        f"max_age: {number(max(age, round(3.0 * slowest, 3)))}",
        "s; the default" + (f": {where}" if where else "") if 3.0 * slowest <= age else f"s; three periods: {where}",
    )
    page.entry(
        2,
        f"max_skew: {number(max(skew, round(slowest, 3)))}",
        "s; the default" if slowest <= skew else f"s; one period: {where}",
    )


def _controllers(page: Page, joints: JointsDraft, state: StateDraft | None, robot: RobotFacts | None) -> None:
    track = state.track if state is not None else None
    names = state.merged.joints if state is not None else ()
    action = [joint.ros for joint in joints.action]
    controllers = find_controllers(action, robot.commands if robot else (), names, track)
    page.entry(2, f"controllers: {words([each.name for each in controllers])}", "names of your choice")
    page.entry(2, "controller:")
    for each in controllers:
        _controller(page, each, state, robot)
    if any(COMMAND_INTERFACES[each.interface].streams for each in controllers if each.interface != UNKNOWN):
        page.entry(2, f"command_rate: {number(float(str(_DEFAULTS['command_rate'])))}", "the default, to streams")


def _controller(page: Page, controller: ControllerDraft, state: StateDraft | None, robot: RobotFacts | None) -> None:
    page.entry(3, f"{controller.name}:")
    where = robot.name if robot is not None else "no robot was looked at"
    if controller.topic == UNKNOWN:
        interfaces = ", ".join(COMMAND_INTERFACES)
        page.entry(4, f'interface: "{UNKNOWN}"', f"{controller.why} ({where}); candidates: {interfaces}")
        # A leader arm's messages look like a measured state, but may command the follower arm.
        used = state.names if state is not None else ()
        states = [each.topic for each in robot.states if each.topic not in used] if robot is not None else []
        candidates = ", ".join((*controller.others, *states)) or "none were seen"
        page.entry(4, f'topic: "{UNKNOWN}"', f"candidates: {candidates}")
    else:
        page.entry(4, f"interface: {controller.interface}", f"{where}: by the type {controller.why}")
        page.entry(4, f"topic: {word(controller.topic)}", where)
    page.entry(4, f"joints: {words(controller.joints)}", controller.joints_why)
    if controller.interface != UNKNOWN and not COMMAND_INTERFACES[controller.interface].streams:
        lead = float(str(_DEFAULTS["controller.<controller>.lead"]))
        page.entry(4, f"lead: {number(lead)}", "s: the default; 1 to 2 periods of the controller")


def _merging(page: Page, policy: PolicyFacts) -> None:
    coefficient = policy.spec.temporal_ensemble_coeff
    if coefficient is None:
        page.entry(2, f"merge: {_DEFAULTS['merge']}", "the default; the checkpoint sets no temporal ensembling")
        return
    page.entry(2, f"merge: {TEMPORAL_ENSEMBLE}", "the checkpoint's config.json sets temporal_ensemble_coeff")
    page.entry(2, f"ensemble_coeff: {number(coefficient)}", "its value there")
