"""Messages of rclpy and of rosbags give the same observation."""

from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from act_inference_ros.joints import Joint, StateBinding
from act_inference_ros.observation.inputs import ObservationInputs
from act_inference_ros.observation.received import CameraOptions
from act_inference_ros.spec import ImageSpec, PolicySpec
from test.observation.fake_messages import encoded, image, picture

SPEC = PolicySpec(
    chunk_size=10,
    action_dim=2,
    images=(ImageSpec("observation.images.top", 4, 6), ImageSpec("observation.images.wrist", 4, 6)),
    state_dim=2,
    environment_state_dim=2,
)
SEC, NANOSEC = 1_700_000_000, 250_000_000
RAW, PNG = image(picture(), "bgr8", padding=3), encoded(picture(seed=1), ".png")


def messages_of_rclpy() -> tuple[Any, ...]:
    sensor_msgs = pytest.importorskip("sensor_msgs.msg", reason="needs ROS messages")
    std_msgs = pytest.importorskip("std_msgs.msg", reason="needs ROS messages")
    header = std_msgs.Header()
    header.stamp.sec, header.stamp.nanosec = SEC, NANOSEC
    fields = {key: value for key, value in vars(RAW).items() if key != "header"}
    return (
        sensor_msgs.Image(header=header, **fields),
        sensor_msgs.CompressedImage(header=header, format="png", data=array("B", PNG)),
        sensor_msgs.JointState(header=header, name=["lift", "pan"], position=[0.2, 0.1]),
        std_msgs.Float32MultiArray(data=[1.0, 2.0]),
    )


def messages_of_rosbags() -> tuple[Any, ...]:
    typesys = pytest.importorskip("rosbags.typesys", reason="needs rosbags")
    types = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE).types
    header = types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](SEC, NANOSEC), "")
    fields = {**vars(RAW), "header": header, "data": np.frombuffer(RAW.data, np.uint8)}
    layout = types["std_msgs/msg/MultiArrayLayout"]([], 0)
    nothing = np.empty(0)
    return (
        types["sensor_msgs/msg/Image"](**fields),
        types["sensor_msgs/msg/CompressedImage"](header, "png", np.frombuffer(PNG, np.uint8)),
        types["sensor_msgs/msg/JointState"](header, ["lift", "pan"], np.array([0.2, 0.1]), nothing, nothing),
        types["std_msgs/msg/Float32MultiArray"](layout, np.float32([1.0, 2.0])),  # type: ignore[arg-type]  # numpy makes an array of a list
    )


@pytest.mark.parametrize("make_messages", [messages_of_rclpy, messages_of_rosbags])
def test_an_observation_comes_of_the_messages_of(make_messages: Callable[[], tuple[Any, ...]]) -> None:
    raw, png, joints, environment = make_messages()
    cameras = {"top": CameraOptions("raw"), "wrist": CameraOptions("compressed")}
    inputs = ObservationInputs(SPEC, StateBinding.of_positions([Joint("pan"), Joint("lift")]), cameras, 0.2, 0.05)
    now = SEC + 0.26
    refusals = [inputs.add_image("top", raw, now), inputs.add_image("wrist", png, now), inputs.add_state(joints, now)]
    assert [*refusals, inputs.add_environment_state(environment, now)] == [None] * 4
    selection = inputs.select(now)
    observation = SPEC.check_observation(inputs.decode(selection))
    assert selection.t_obs == SEC + 0.25
    np.testing.assert_array_equal(observation["observation.images.top"], picture()[..., ::-1])
    np.testing.assert_array_equal(observation["observation.images.wrist"], picture(seed=1))
    np.testing.assert_array_equal(observation["observation.state"], np.float32([0.1, 0.2]))  # type: ignore[arg-type]  # numpy makes an array of a list
    np.testing.assert_array_equal(observation["observation.environment_state"], np.float32([1.0, 2.0]))  # type: ignore[arg-type]  # numpy makes an array of a list
