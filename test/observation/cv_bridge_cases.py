"""Run where cv_bridge can be imported: compares its pixels with this package's, prints {case: same} as JSON."""

import json
from types import SimpleNamespace

import cv2  # noqa: F401 - before cv_bridge, whose own OpenCV must not come first
import numpy as np
from cv_bridge import CvBridge

from act_inference_ros.observation import optional
from act_inference_ros.observation.images import decode_image_message
from test.observation.fake_messages import compressed, encoded, image, picture

CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1, "mono16": 2, "bayer_rggb8": 1, "yuv422": 2}


def main() -> None:
    bridge, same = CvBridge(), {"cv_bridge is usable": optional.cv_bridge()[0] is not None}
    for encoding, channels in CHANNELS.items():
        pixels = picture(48, 64, channels)
        expected = bridge.imgmsg_to_cv2(image(pixels, encoding), "rgb8")
        for padding in (0, 16):
            ours = decode_image_message(image(pixels, encoding, padding))
            same[f"{encoding}, padding {padding}"] = ours.shape == (48, 64, 3) and np.array_equal(ours, expected)
    for kind in (".jpg", ".png"):
        msg = compressed(encoded(picture(48, 64), kind))
        expected = bridge.compressed_imgmsg_to_cv2(SimpleNamespace(**vars(msg)), "rgb8")
        same[kind] = np.array_equal(decode_image_message(msg), expected)
    print(json.dumps(same))


if __name__ == "__main__":
    main()
