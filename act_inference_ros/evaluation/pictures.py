"""Pillow, which whoever draws, shrinks or compresses pictures needs."""

from __future__ import annotations

from typing import Any

from act_inference_ros.errors import MissingDependencyError


def pillow(what: str) -> Any:
    """Return Pillow's module Image. Raises MissingDependencyError without it; `what` needs it, as a plural noun."""
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"{what} need pillow: pip install pillow") from error
    return Image
