"""The version of this package, as it was installed."""

from __future__ import annotations

from importlib import metadata

PACKAGE = "act_inference_ros"


def package_version() -> str:
    """Return the version; empty if the package is only on the path and not installed."""
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return ""
