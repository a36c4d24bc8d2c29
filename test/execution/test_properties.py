"""What must hold whatever operator, robot and inference do: random schedules of all of it against the supervisor."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from act_inference_ros.control.commander import Commander
from act_inference_ros.control.cubic import Cubic
from act_inference_ros.execution.states import RUNNING, State
from act_inference_ros.interfaces import Command
from act_inference_ros.robot.configuration import RobotConfiguration
from test.execution import rig as rig_module
from test.execution.rig import JOINTS, LEAD_S, PARAMETERS, TICK_S, Rig, is_hold

SEEDS = range(60)
EVENTS = 400
START = 1000.0
"""Small, so that times are exact to far less than a nanosecond."""
SLACK = 1e-9
LONGEST_BRAKING_S = 0.5
"""A hold at the highest velocity takes 0.25 s, ticks that are late make it longer, and its end is sent at the next."""


class World:
    """Draws what happens next, lets it happen, and checks every command and every change of state at once."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.parameters = {
            "enable.topic": "/enable", "enable.timeout": 0.5, "start_pose": [0.2, -0.2, 0.1], "resume_within": 0.5,
            "max_plan_age": float(self.random.choice([0.3, 0.6, 3.0])), "joint.grip.max_velocity": 1.0,
            "joint.grip.smooth": bool(self.random.integers(2)), "joint.pan.min": -1.0, "joint.pan.max": 1.0,
            "joint.grip.max_deviation": 0.3, "merge": str(self.random.choice(["latest", "blend"])),
        }  # fmt: skip
        self.rig = Rig(**self.parameters)
        self.supervisor = self.rig.supervisor
        self.rig.lag = float(self.random.choice([0.0, 0.1, 0.2]))
        self.sent: list[str] = []
        self.seen: Counter[str] = Counter()
        self.last_hold = -np.inf
        self.last_target: float | None = None
        self.wider: list[tuple[float, float]] = []
        """Limits of velocity that were in force, and until when a joint may still be braking from them."""
        self.known = False
        self.place = dict(self.rig.positions)
        self.event = ""
        self.before = self.rig.state
        for name, commander in zip(self.rig.commands, self.supervisor._motion.commanders, strict=True):
            commander._send = self._watched(name, commander, commander._send)

    def _watched(self, name: str, commander: Commander, send: Callable[[Command], None]) -> Callable[[Command], None]:
        def watched(command: Command) -> None:
            self.sent.append(name)
            if commander.streams:
                self._check_target(command)
            else:
                self._check_trajectory(commander, command)
            send(command)

        return watched

    def _check_target(self, command: Command) -> None:
        target = float(command.positions[0, 0])
        limits = self.rig.configuration.action.joints[JOINTS.index("grip")]
        if self.last_target is not None and self.known:
            step = abs(target - self.last_target)
            turning = self.before is not State.COMMANDING or self.rig.state is not State.COMMANDING
            # Faster than a limit that has just become tighter a joint may be for as long as it brakes.
            fastest = max([limits.max_velocity, *(was for until, was in self.wider if until > self.rig.now)])
            if step > fastest * TICK_S * (1.0 + 1e-5) + SLACK:
                assert limits.smooth, f"{self.event}: a joint that is not smooth jumped by {step}"
                assert turning or self.event in ("tick", "clock", "go_to_start"), (
                    f"{self.event}: a jump of {step} in a motion"
                )
                there = self.place["grip"]
                assert abs(target - there) <= abs(self.last_target - there), f"{self.event}: a jump away from the arm"
                assert target == pytest.approx(there), f"{self.event}: a jump to somewhere else than the arm"
                self.seen["jump to the arm"] += 1
        self.last_target, self.known = target, True

    def _check_trajectory(self, commander: Commander, command: Command) -> None:
        assert command.velocities is not None
        assert (np.diff(command.times) > 0.0).all()
        assert not command.velocities[-1].any()
        end = command.stamp + float(command.times[-1])
        assert end > self.rig.now
        if is_hold(command, self.rig.now):
            return
        newest = self.supervisor._motion.newest if self.supervisor.who_commands == "policy" else self.rig.now
        assert end <= newest + self.supervisor.max_plan_age + 1e-6
        motion = Cubic(command.stamp, command.times, command.positions, command.velocities)
        begin = self.rig.now + LEAD_S
        instants = np.arange(begin, end, 1e-3)
        there = motion.sample(instants[instants >= motion.begin])
        joints = [self.rig.configuration.action.joints[JOINTS.index(name)] for name in ("lift", "pan")]
        assert commander.motion is not None
        start = commander.motion.at(begin)
        # Faster than a limit that has just become tighter a joint may be for as long as it brakes.
        fastest = np.maximum([joint.max_velocity for joint in joints], np.abs(start.velocity))
        assert (np.abs(there.velocity) <= fastest * 1.0001 + SLACK).all()
        assert (np.abs(there.acceleration) <= [joint.max_acceleration * 1.001 for joint in joints]).all()
        pan = joints[1]
        assert pan.minimum is not None
        assert pan.maximum is not None
        way = float(start.velocity[1]) * abs(float(start.velocity[1])) / (2.0 * pan.max_acceleration)
        here = float(start.position[1])
        assert there.position[:, 1].min() >= min(pan.minimum, here, here + way) - SLACK
        assert there.position[:, 1].max() <= max(pan.maximum, here, here + way) + SLACK
        self.seen["trajectory"] += 1

    def happen(self, event: str, act: Callable[[], object]) -> None:
        """Let it happen, and look what became of it."""
        self.event, self.sent, self.before = event, [], self.rig.state
        held = sum(self.supervisor.holds.values())
        before = self.before
        self.known = self.supervisor._motion.commanders[1].known
        act()
        after = self.rig.state
        ended = sum(self.supervisor.holds.values()) - held
        count = Counter(self.sent)
        if before is not State.COMMANDING and after is not State.COMMANDING:
            brakes = event == "tick" and self.rig.now <= self.last_hold + LONGEST_BRAKING_S
            expected = {"gripper"} if brakes else {"arm", "gripper"} if event == "go_to_start" else set()
            if event == "clock" and before in RUNNING:
                expected = {"arm", "gripper"}  # they are told again where to stay
            assert set(count) <= expected, f"{event}: {count} sent while {before} became {after}"
            assert max(count.values(), default=0) <= 1
        if before is State.COMMANDING and after is not State.COMMANDING:
            assert ended == 1
            assert max(count.values(), default=0) <= 1, f"{event}: {count} at the end of a motion"
            assert count["gripper"] == 1
            self.last_hold = self.rig.now
        if before is State.STOPPED and after is not State.STOPPED:
            assert (event, after) == ("clear_stop", State.PAUSED)
        if before is State.PAUSED and after is not State.PAUSED:
            assert event in ("resume", "stop", "go_to_start")
            assert (after in RUNNING) == (event != "stop")
        self.seen[after.value] += before is not after

    def step(self) -> None:
        """One period passes, and something besides happens."""
        random, rig, now = self.random, self.rig, self.rig.now
        choice = random.random()
        if choice < 0.02:
            self._set_clock(now + float(random.choice([-50.0, -0.5, -0.05, 0.3])))
        elif choice < 0.06:
            request = str(random.choice(["pause", "stop", "reset", "go_to_start"]))
            act = getattr(rig.operator, request)
            pose = rig.configuration.start_pose
            self.happen(request, (lambda: act(pose, now)) if request == "go_to_start" else lambda: act(now))
        elif choice < 0.26:
            request = str(random.choice(["resume", "clear_stop"]))
            self.happen(request, lambda: getattr(rig.operator, request)(now))
        elif choice < 0.28:
            self.happen("fail", lambda: self.supervisor.fail(now, "the server went away"))
        elif choice < 0.31:
            rig.silent = {str(random.choice(["front", "state"]))} if random.random() < 0.3 else set()
        elif choice < 0.33:
            listeners, others = int(random.random() < 0.8), ("/teleop",) if random.random() < 0.2 else ()
            self.happen("heard", lambda: self.supervisor.heard("gripper", listeners, others, now))
        elif choice < 0.37:
            self.happen("heard", lambda: self.supervisor.heard("gripper", 1, (), now))
        elif choice < 0.39:
            rig.obeys = not rig.obeys
        elif choice < 0.41:
            self.happen("limits", self._change_limits)
        if random.random() < 0.3:
            rig.silent = set()
        if random.random() < 0.97:
            self.supervisor.permissions.enable(bool(random.random() < 0.99), rig.now)
        if random.random() < 0.3:
            self._chunk()
        rig.now += TICK_S * float(random.choice([1.0, 1.0, 1.0, 1.01, 7.0], p=[0.4, 0.3, 0.2, 0.09, 0.01]))
        self.happen("messages", self._feed)
        self.happen("tick", lambda: rig.pipeline.tick(rig.now))

    def _feed(self) -> None:
        self.rig.feed()
        if "state" not in self.rig.silent:
            self.place = dict(self.rig.positions)

    def _set_clock(self, now: float) -> None:
        back = now < self.rig.now
        self.rig.now = now
        self.rig._past.clear()
        self.happen("clock", lambda: self.rig.pipeline.tick(now))
        if back:
            self.last_hold = now

    def _change_limits(self) -> None:
        fastest, furthest = float(self.random.uniform(0.3, 1.0)), float(self.random.uniform(0.5, 1.0))
        changed = {"joint.grip.max_velocity": fastest, "joint.pan.max": furthest, "joint.pan.min": -furthest}
        configuration = RobotConfiguration.from_parameters(PARAMETERS | self.parameters | changed)
        if self.rig.state is State.COMMANDING and self.rig.configuration.wider_limits(configuration):
            return  # the node refuses these
        self.wider.append((self.rig.now + 0.2, self.rig.configuration.action.joints[JOINTS.index("grip")].max_velocity))
        self.rig.configuration = configuration
        self.supervisor.configure(configuration, self.rig.now)

    def _chunk(self) -> None:
        age = float(self.random.choice([0.0, 0.05, 0.1, 0.4]))
        here = np.array([self.rig.positions[name] for name in JOINTS])
        step = float(self.random.choice([0.02, 0.1, 1.0]))
        rows = (here + np.cumsum(self.random.normal(0.0, step, (10, 3)), axis=0)).astype(np.float32)
        t_obs, began = self.rig.now - age, self.rig.state is not State.COMMANDING
        self.happen("chunk", lambda: self.rig.rows(rows, t_obs))
        if began and self.rig.state is State.COMMANDING:
            assert t_obs > self.last_hold, "a chunk from before the hold began a motion"


def run(seed: int, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    monkeypatch.setattr(rig_module, "START", START)
    world = World(seed)
    for _ in range(EVENTS):
        world.step()
    return world.seen


@pytest.mark.parametrize("seed", SEEDS)
def test_the_rules_hold_whatever_happens(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    run(seed, monkeypatch)


def test_the_schedules_go_where_the_rules_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Counter[str] = Counter()
    for seed in list(SEEDS)[:15]:
        seen += run(seed, monkeypatch)
    assert {"waiting", "commanding", "holding", "paused", "stopped", "trajectory", "jump to the arm"} <= set(seen)
