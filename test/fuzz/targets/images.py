"""Targets: image messages, raw and compressed, as the node checks and decodes them."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np

from act_inference_ros.errors import ObservationError
from act_inference_ros.observation.compressed import read_header
from act_inference_ros.observation.images import check_image_message, decode_image_message, is_jpeg_of_size, resize
from act_inference_ros.spec import ImageSpec
from test.fuzz.mutation import NUMBERS, bytes_mutation, one_of
from test.fuzz.target import LONGEST_INPUT, MIB, Target
from test.hostile_images import honest_images, jpeg_bomb, mutated, png_bomb, png_chunk, png_with_more
from test.observation.fake_messages import compressed, header

_HEIGHT, _WIDTH = 24, 40
_SPEC = ImageSpec("observation.images.top", _HEIGHT, _WIDTH)
_HEADER = struct.Struct("<IIIBB")
"""Height, width, step, is_bigendian, and how many bytes of the name of the encoding follow; the rest is the data."""
_ENCODINGS = (
    b"rgb8", b"bgr8", b"rgba8", b"bgra8", b"mono8", b"mono16", b"bayer_rggb8", b"yuv422", b"nv21", b"32FC1", b"8UC3",
    b"", b"RGB8",
    b"rgb8\0", b"\x1b[2J", b"rgb8" * 60, b"\xff\xfe",
)  # fmt: skip
_PNG_KINDS = (
    b"IHDR",
    b"IDAT",
    b"IEND",
    b"PLTE",
    b"tRNS",
    b"zTXt",
    b"iTXt",
    b"acTL",
    b"gAMA",
    b"iCCP",
    b"eXIf",
    b"IDAX",
    b"idat",
)


def raw_image(directory: Path) -> Target:
    """sensor_msgs/Image: sizes, steps and encodings that do not fit the data."""

    def check(data: bytes) -> None:
        msg = _raw_message(data)
        check_image_message(msg, _SPEC, resize=True)
        pixels = decode_image_message(msg)
        assert pixels.shape == (msg.height, msg.width, 3)
        assert pixels.dtype == np.uint8
        assert resize(pixels, _HEIGHT, _WIDTH).shape == _SPEC.shape

    channels = {b"rgb8": 3, b"bgr8": 3, b"rgba8": 4, b"mono8": 1}
    seeds = [_raw(4, 6, 6 * count + 2, name, bytes(range(4 * (6 * count + 2)))) for name, count in channels.items()]
    seeds.append(_raw(_HEIGHT, _WIDTH, 3 * _WIDTH, b"rgb8", bytes(3 * _WIDTH * _HEIGHT)))
    return Target("raw_image", check, seeds, one_of(_raw_mutation, _raw_mutation, bytes_mutation), (ObservationError,))


def compressed_image(directory: Path) -> Target:
    """sensor_msgs/CompressedImage: JPEG and PNG of several kinds, and bombs; the decoder must agree with the header."""

    def check(data: bytes) -> None:
        msg = compressed(data)
        is_jpeg_of_size(data, _HEIGHT, _WIDTH)
        check_image_message(msg, _SPEC, resize=True)
        shown = read_header(data)
        assert decode_image_message(msg).shape == (shown.height, shown.width, 3)

    seeds = list(honest_images().values())
    palette = np.zeros((8, 8), np.uint8)
    seeds += [png_bomb(3000), png_with_more(2**20), jpeg_bomb(16, 24), cv2.imencode(".png", palette)[1].tobytes()]

    def mutate(data: bytes, random: random.Random) -> bytes:
        other = random.choice(seeds)
        return mutated(data, (other,), np.random.default_rng(random.getrandbits(32)))[:LONGEST_INPUT]

    # MAX_PIXELS pixels of three bytes, twice: as OpenCV decodes them, and in the order of ROS; once more, progressive.
    bound = 640 * MIB
    return Target(
        "compressed_image",
        check,
        seeds,
        one_of(mutate, mutate, _png_mutation, bytes_mutation),
        (ObservationError,),
        bound,
    )


def _raw(height: int, width: int, step: int, encoding: bytes, data: bytes) -> bytes:
    return _HEADER.pack(height, width, step, 0, len(encoding)) + encoding + data


def _raw_message(data: bytes) -> SimpleNamespace:
    height, width, step, bigendian, length = _HEADER.unpack_from(data.ljust(_HEADER.size, b"\0"))
    rest = data[_HEADER.size :]
    return SimpleNamespace(
        header=header(1.0), height=height, width=width, step=step, is_bigendian=bigendian,
        encoding=rest[:length].decode("utf-8", "replace"), data=rest[length:],
    )  # fmt: skip


def _raw_mutation(data: bytes, random: random.Random) -> bytes:
    """Another size, step or encoding; more or less data."""
    height, width, step, bigendian, length = _HEADER.unpack_from(data.ljust(_HEADER.size, b"\0"))
    rest = data[_HEADER.size :]
    encoding, pixels = rest[:length], rest[length:]
    for _ in range(random.randint(1, 3)):
        number = random.choice((*NUMBERS, height + 1, width - 1, step + 1, step - 1)) % 2**32
        match random.randrange(5):
            case 0:
                height = number
            case 1:
                width = number
            case 2:
                step = number
            case 3:
                encoding = random.choice(_ENCODINGS)
            case _:
                wanted = height * step + random.randint(-1, 1)
                pixels = (pixels + bytes(max(0, min(wanted, LONGEST_INPUT) - len(pixels))))[: max(0, wanted)]
    return _HEADER.pack(height, width, step, bigendian, len(encoding)) + encoding + pixels[:LONGEST_INPUT]


def _png_mutation(data: bytes, random: random.Random) -> bytes:
    """A chunk of a PNG exchanged, with the right checksum, so that libpng reads it."""
    if data[:4] != b"\x89PNG":
        return bytes_mutation(data, random)
    chunks, place = [], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    for _ in range(random.randint(1, 3)):
        if not chunks:
            break
        at = random.randrange(len(chunks))
        kind, content = chunks[at]
        match random.randrange(5):
            case 0:
                chunks[at] = (random.choice(_PNG_KINDS), content)
            case 1:
                del chunks[at]
            case 2:
                chunks.insert(at, (random.choice(_PNG_KINDS), random.randbytes(random.randrange(20))))
            case 3:
                chunks.insert(at, random.choice(chunks))
            case _:
                chunks[at] = (kind, bytes_mutation(content, random))
    return (data[:8] + b"".join(png_chunk(*chunk) for chunk in chunks))[:LONGEST_INPUT]
