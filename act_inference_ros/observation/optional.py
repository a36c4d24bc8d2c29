"""OpenCV and cv_bridge, where they are installed: imported at first use, and why not where they are not."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from act_inference_ros.errors import MissingDependencyError

OPENCV_HINT = "pip install opencv-python-headless (or the system's python3-opencv)"


@lru_cache(maxsize=1)
def opencv() -> Any | None:
    """Return the module cv2, or None where it cannot be imported."""
    try:
        import cv2
    except Exception:  # a build for another numpy fails in more ways than ImportError
        return None
    return cv2


def require_opencv(purpose: str) -> Any:
    """Return the module cv2, or raise MissingDependencyError saying what for and how to install it."""
    cv2 = opencv()
    if cv2 is None:
        raise MissingDependencyError(f"{purpose} needs OpenCV, which is not installed: {OPENCV_HINT}")
    return cv2


@lru_cache(maxsize=1)
def cv_bridge() -> tuple[Any | None, str]:
    """Return a CvBridge, or None and why there is none.

    The compiled half is imported too: in a build for another numpy it alone fails, and so it does in the package of
    that name on PyPI, a port that converts some encodings wrongly.
    """
    try:
        from cv_bridge import CvBridge
        from cv_bridge.boost import cv_bridge_boost  # noqa: F401

        return CvBridge(), ""
    except Exception as error:
        return None, f"{type(error).__name__}: {error}".splitlines()[0]
