"""Our decoding and cv_bridge's give the same pixels, wherever there is a cv_bridge to ask.

In a process of its own: cv_bridge brings a second OpenCV along.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

DEBIAN = Path("/usr/lib/python3/dist-packages/cv_bridge")
HERE = Path(__file__).parent
ENCODINGS = ["rgb8", "bgr8", "rgba8", "bgra8", "mono8", "mono16", "bayer_rggb8", "yuv422"]


@pytest.fixture(scope="module")
def same_pixels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool]:
    paths = [str(HERE), str(HERE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    if find_spec("cv_bridge") is None:
        if not DEBIAN.exists():
            pytest.skip("cv_bridge is not installed")
        alone = tmp_path_factory.mktemp("dist-packages")  # without the system's numpy and OpenCV
        (alone / "cv_bridge").symlink_to(DEBIAN)
        paths.insert(0, str(alone))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    if subprocess.run(
        [sys.executable, "-c", "import cv_bridge.boost.cv_bridge_boost"], env=environment, capture_output=True
    ).returncode:
        pytest.skip("cv_bridge is there but cannot be imported: it is compiled for another Python or numpy")
    cases = subprocess.run(
        [sys.executable, str(HERE / "cv_bridge_cases.py")], env=environment, capture_output=True, text=True, timeout=60
    )
    if cases.returncode < 0:
        pytest.skip(f"cv_bridge dies of signal {-cases.returncode} here: it is compiled for another numpy")
    assert cases.returncode == 0, cases.stderr
    return json.loads(cases.stdout)


@pytest.mark.parametrize("padding", [0, 16])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_raw_images_have_the_pixels_of_cv_bridge(same_pixels: dict[str, bool], encoding: str, padding: int) -> None:
    assert same_pixels[f"{encoding}, padding {padding}"]


@pytest.mark.parametrize("kind", [".jpg", ".png"])
def test_compressed_images_have_the_pixels_of_cv_bridge(same_pixels: dict[str, bool], kind: str) -> None:
    assert same_pixels[kind]


def test_a_cv_bridge_that_works_is_found_usable(same_pixels: dict[str, bool]) -> None:
    assert same_pixels["cv_bridge is usable"]
