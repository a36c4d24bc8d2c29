"""The version of this package, as it was installed."""

from __future__ import annotations

from importlib import metadata

PACKAGE = "act_inference_ros"


def package_version() -> str:
    """Return the version; an empty text where the package is not installed but only on the path."""
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return ""
