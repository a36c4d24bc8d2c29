"""Where the package's launch, config and model files are, however it was installed."""

from __future__ import annotations

import sys
from pathlib import Path

from act_inference_ros.errors import ConfigurationError

PACKAGE = "act_inference_ros"

_CHECKOUT = Path(__file__).resolve().parents[2]


def share_directory() -> Path:
    """The directory with `config/` and `launch/`: of a colcon install, of a pip install, or the source checkout.

    Raises ConfigurationError if there is none of them.
    """
    for directory in (_from_ament_index(), Path(sys.prefix) / "share" / PACKAGE, _CHECKOUT):
        if directory is not None and (directory / "config").is_dir():
            return directory
    raise ConfigurationError(
        f"the files of {PACKAGE} are neither in the ament index, nor in {sys.prefix}/share, nor beside its sources; "
        "install the package with colcon or pip, or source install/setup.bash"
    )


def _from_ament_index() -> Path | None:
    try:
        from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
    except ModuleNotFoundError:
        return None
    try:
        return Path(get_package_share_directory(PACKAGE))
    except (PackageNotFoundError, OSError):
        # OSError: AMENT_PREFIX_PATH is not set.
        return None
