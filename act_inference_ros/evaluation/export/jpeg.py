"""Images small enough to keep all of them: JPEG, at most LONGEST_SIDE pixels wide and high."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt

from act_inference_ros.evaluation.pictures import pillow

LONGEST_SIDE = 640
QUALITY = 85
EXPORTED = "images of exported episodes"
"""What needs pillow."""


def jpeg(image: npt.NDArray[np.uint8] | bytes, height: int, width: int) -> bytes:
    """JPEG of uint8 (height, width, 3) RGB, or of such an image that is a JPEG already.

    One that is too large is shrunk by a whole number. Raises MissingDependencyError without pillow.
    """
    every = -(-max(height, width) // LONGEST_SIDE)
    if isinstance(image, bytes):
        if every == 1:
            return image
        picture = pillow(EXPORTED).open(io.BytesIO(image)).convert("RGB")
    else:
        picture = pillow(EXPORTED).fromarray(image)
    buffer = io.BytesIO()
    (picture.reduce(every) if every > 1 else picture).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
