"""A grey JPEG file of any size, made without an image library; probes send it to a policy that decodes images."""

from __future__ import annotations

import struct

_BLOCK = 8


def blank_jpeg(height: int, width: int) -> bytes:
    """A complete baseline JPEG file, one component, every pixel 128; a few hundred times smaller than its pixels.

    Each block of 8x8 pixels takes two bits: no difference from the block before, and no further coefficients. Both
    Huffman tables have one code, 0. Source: ITU-T T.81, annexes B and F.
    """
    blocks = -(-height // _BLOCK) * -(-width // _BLOCK)
    data = bytearray(-(-2 * blocks // 8))
    unused_bits = 8 * len(data) - 2 * blocks
    data[-1] |= (1 << unused_bits) - 1  # padded with ones
    one_code = bytes([1, *[0] * 15, 0])
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xDB, b"\x00" + bytes([1] * 64)),
            _segment(0xC0, struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00"),
            _segment(0xC4, b"\x00" + one_code),
            _segment(0xC4, b"\x10" + one_code),
            _segment(0xDA, b"\x01\x01\x00\x00\x3f\x00"),
            bytes(data),
            b"\xff\xd9",
        )
    )


def _segment(marker: int, content: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content
