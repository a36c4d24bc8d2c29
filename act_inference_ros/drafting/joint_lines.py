"""The lines of a draft about joints: their names, units and limits, and the pose at the start of episodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from act_inference_ros.drafting.joints import JointDraft, JointsDraft
from act_inference_ros.drafting.names import NamedJoint
from act_inference_ros.drafting.text import Page, number, numbers, word
from act_inference_ros.robot.parameters import UNKNOWN

MOST_CANDIDATES = 8
"""Shown beside an unknown joint's name."""
MOST_START_SPREAD = 0.2
"""ROS units; if the starts of episodes differ more than this, a comment at the start pose says so."""


def write_names(page: Page, depth: int, key: str, joints: Sequence[NamedJoint], comment: str) -> None:
    """Write a list of joints in the policy's order, each with the source of its name."""
    page.entry(depth, f"{key}:", comment)
    for joint in joints:
        candidates = f"; candidates: {', '.join(joint.candidates[:MOST_CANDIDATES]) or 'none are left'}"
        candidates = "" if joint.known else candidates
        page.entry(depth + 1, f"- {word(joint.ros)}", joint.why + candidates)


def write_joint(page: Page, joint: JointDraft, is_moved: bool) -> None:
    """Write one joint's parameters; only the unit for a joint that is only measured."""
    page.entry(3, f"{word(joint.name.ros)}:")
    unit = joint.unit
    if not unit.known:
        likely = f"{unit.likely} is the likeliest; candidates: {', '.join((unit.likely, *unit.others))}"
        more = "; or remove this line and write scale and offset: policy = scale * ros + offset"
        page.entry(4, f'unit: "{UNKNOWN}"', f"{unit.why}; {likely}{more if joint.gripper else ''}")
    elif unit.word:
        page.entry(4, f"unit: {unit.word}", f"of the policy: {unit.why}")
    else:
        page.comment(4, f"no unit: the policy counts as ROS does; {unit.why}")
    if not is_moved:
        return
    limits = joint.limits
    if limits.lowest is None or limits.highest is None:
        page.entry(4, f'min: "{UNKNOWN}"', limits.why)
        page.entry(4, f'max: "{UNKNOWN}"', limits.why)
    elif np.isinf(limits.lowest):
        page.entry(4, "continuous: true", limits.why)
    else:
        page.entry(4, f"min: {number(limits.lowest)}", limits.why)
        page.entry(4, f"max: {number(limits.highest)}", "as min")
    page.entry(4, f"max_velocity: {number(joint.max_velocity)}", joint.velocity_why)
    if joint.gripper:
        page.entry(4, "smooth: false", "its name is a gripper's: a hold keeps what it was told, so that nothing drops")


def write_start_pose(page: Page, joints: JointsDraft) -> None:
    """Write the start of the episodes, in ROS units; as a comment if it depends on an unknown unit."""
    drafts = [joints.joints[each.ros] for each in joints.action]
    began = [draft.start for draft in drafts if draft.start is not None]
    if joints.starts is None or len(began) < len(drafts):
        page.comment(2, f"start_pose: left out, because {joints.without_starts}")
        return
    columns = [[each.ros for each in joints.state].index(draft.name.ros) for draft in drafts]
    scales = np.array([draft.unit.scale for draft in drafts])
    spread = float((np.ptp(joints.starts[:, columns], axis=0) / scales).max())
    pose, clipped = [], []
    for draft, start, scale in zip(drafts, began, scales, strict=True):
        position = start / scale
        lowest, highest = draft.limits.lowest, draft.limits.highest
        within = position if lowest is None or highest is None else min(max(position, lowest), highest)
        clipped += [draft.name.ros] if within != position else []
        pose.append(within)
    count = len(joints.starts)
    comment = f"median of the first frames of {count} episode{'s' if count > 1 else ''}"
    comment += f", which differ by up to {spread:.3g}" if count > 1 else ""
    comment += ": they did not begin in one pose" if spread > MOST_START_SPREAD else ""
    comment += f"; {', '.join(clipped)} moved to the limit" if clipped else ""
    unknown = [draft for draft in drafts if not draft.unit.known]
    if unknown:
        likely = ", ".join(dict.fromkeys(draft.unit.likely for draft in unknown))
        page.comment(2, f"start_pose, {comment}. Write it without # once the units above are filled in as {likely}:")
        page.entry(2, f"# start_pose: {numbers(pose)}")
    else:
        page.entry(2, f"start_pose: {numbers(pose)}", f"{comment}; as the action's joints")
