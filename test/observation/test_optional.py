import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from act_inference_ros.observation import optional

WORKS = "import numpy as np; return np.zeros((msg.height, msg.width, 3), np.uint8)"
CRASHES = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


@pytest.fixture
def install_cv_bridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Put a package called cv_bridge on the path, with the given body of imgmsg_to_cv2 and of its compiled half."""

    def install(conversion: str, compiled: str | None = "") -> None:
        (tmp_path / "cv_bridge" / "boost").mkdir(parents=True)
        source = f"class CvBridge:\n    def imgmsg_to_cv2(self, msg, encoding):\n        {conversion}\n"
        (tmp_path / "cv_bridge" / "__init__.py").write_text(source)
        (tmp_path / "cv_bridge" / "boost" / "__init__.py").write_text("")
        if compiled is not None:
            (tmp_path / "cv_bridge" / "boost" / "cv_bridge_boost.py").write_text(compiled)
        for name in [name for name in sys.modules if name.split(".")[0] == "cv_bridge"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.syspath_prepend(tmp_path)

    optional.cv_bridge.cache_clear()
    yield install
    optional.cv_bridge.cache_clear()
    sys.modules.pop("cv_bridge", None)


def test_a_cv_bridge_that_converts_is_used(install_cv_bridge: Callable[..., None]) -> None:
    install_cv_bridge(WORKS)
    bridge, why_not = optional.cv_bridge()
    assert type(bridge).__name__ == "CvBridge"
    assert why_not == ""


@pytest.mark.parametrize(
    ("conversion", "compiled", "said"),
    [
        (CRASHES, "", "built for another numpy: killed by signal 11"),
        (WORKS, "raise AttributeError('_ARRAY_API not found')", "_ARRAY_API not found"),
        (WORKS, None, "cannot import name 'cv_bridge_boost'"),
        ("return None", "", "AttributeError"),
    ],
)
def test_a_cv_bridge_that_does_not_work_here_counts_as_none_and_does_no_harm(
    install_cv_bridge: Callable[..., None], conversion: str, compiled: str | None, said: str
) -> None:
    install_cv_bridge(conversion, compiled)
    bridge, why_not = optional.cv_bridge()
    assert bridge is None
    assert said in why_not


def test_an_opencv_that_fails_to_load_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    optional.opencv.cache_clear()
    assert optional.opencv() is None
    optional.opencv.cache_clear()
