"""OpenCV and cv_bridge: imported at first use, with the reason if they cannot be used."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from act_inference_ros.errors import MissingDependencyError

OPENCV_HINT = "pip install opencv-python-headless (or the system's python3-opencv)"

CV_BRIDGE_TRIAL_TIMEOUT_S = 20.0

# cv_bridge_boost, the compiled half, excludes the port called cv-bridge on PyPI, which converts 16 bits wrongly.
_CV_BRIDGE_TRIAL = """
from types import SimpleNamespace
import cv2
from cv_bridge import CvBridge
from cv_bridge.boost import cv_bridge_boost
image = SimpleNamespace(height=2, width=2, encoding="mono16", is_bigendian=0, step=4, data=bytes(8))
assert CvBridge().imgmsg_to_cv2(image, "rgb8").shape == (2, 2, 3)
"""


@lru_cache(maxsize=1)
def opencv() -> Any | None:
    """Return the module cv2, or None where it cannot be imported."""
    try:
        import cv2
    except Exception:  # a build for another numpy version can raise other errors than ImportError
        return None
    return cv2


def require_opencv(purpose: str) -> Any:
    """Return the module cv2, or raise MissingDependencyError with the purpose and how to install it."""
    cv2 = opencv()
    if cv2 is None:
        raise MissingDependencyError(f"{purpose} needs OpenCV, which is not installed: {OPENCV_HINT}")
    return cv2


@lru_cache(maxsize=1)
def cv_bridge() -> tuple[Any | None, str]:
    """Return a CvBridge, or None and the reason why there is none.

    A cv_bridge compiled for numpy 1 can be imported under numpy 2 (pip upgrades numpy, the ROS installation stays), but
    its first conversion then kills the process. So the first conversion runs in a separate process: this takes a second
    or two, once, and only if a camera sends an encoding that needs cv_bridge.
    """
    if find_spec("cv_bridge") is None:
        return None, "it is not installed"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        trial = subprocess.run(
            [sys.executable, "-c", _CV_BRIDGE_TRIAL],
            env=environment,
            capture_output=True,
            text=True,
            timeout=CV_BRIDGE_TRIAL_TIMEOUT_S,
        )
        if trial.returncode != 0:
            last_line = (trial.stderr.strip().splitlines() or [""])[-1]
            how = f"killed by signal {-trial.returncode}" if trial.returncode < 0 else last_line
            return None, f"the one installed does not work here, it may be built for another numpy: {how}"
        from cv_bridge import CvBridge

        return CvBridge(), ""
    except Exception as error:
        return None, f"the one installed does not work here: {type(error).__name__}: {error}"
