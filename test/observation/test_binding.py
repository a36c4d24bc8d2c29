"""From a robot's parameters to its inputs: images that could never be decoded are refused before the arm moves."""

import pytest

from act_inference_ros.errors import MissingDependencyError
from act_inference_ros.observation import optional
from act_inference_ros.observation.binding import bind_inputs
from act_inference_ros.robot.configuration import RobotConfiguration
from test.execution.rig import PARAMETERS, SPEC


@pytest.mark.parametrize("changes", [{"camera.front.transport": "compressed"}, {"resize": True}])
def test_images_that_need_opencv_are_refused_without_it(
    changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = RobotConfiguration.from_parameters({**PARAMETERS, **changes})
    bind_inputs(configuration, SPEC)
    monkeypatch.setattr(optional, "opencv", lambda: None)
    with pytest.raises(MissingDependencyError, match="needs OpenCV"):
        bind_inputs(configuration, SPEC)
