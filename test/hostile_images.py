"""Image files whose header, read carelessly, differs from the decoder's result."""

import struct
import zlib

import cv2
import numpy as np

BOMB_SIDE = 16000


def jpeg(height: int, width: int, *options: int) -> bytes:
    """A small honest grey-blue JPEG."""
    pixels = np.full((height, width, 3), (90, 60, 30), np.uint8)
    return cv2.imencode(".jpg", pixels, options)[1].tobytes()


def resized_jpeg(data: bytes, height: int, width: int) -> bytes:
    """The same JPEG whose frame header says another size."""
    place = next(data.find(marker) for marker in (b"\xff\xc0", b"\xff\xc2") if marker in data)
    return data[: place + 5] + struct.pack(">HH", height, width) + data[place + 9 :]


def jpeg_bomb(height: int, width: int) -> bytes:
    """A JPEG of `height` x `width` for a reader that takes FF 00 as a segment; 16000 x 16000 for libjpeg."""
    hidden = resized_jpeg(jpeg(16, 16), BOMB_SIDE, BOMB_SIDE)[2:]
    return b"\xff\xd8\xff\x00" + struct.pack(">H", 2 + len(hidden)) + hidden + jpeg(height, width)[2:]


def png(height: int, width: int) -> bytes:
    """A small honest PNG."""
    return cv2.imencode(".png", np.full((height, width, 3), 90, np.uint8))[1].tobytes()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_bomb(side: int) -> bytes:
    """A PNG whose few bytes unpack to `side` x `side` grey pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    row = bytes(side + 1)
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")


def png_with_more(size: int) -> bytes:
    """A PNG of 16 x 24 whose packed pixels go on for `size` bytes after the last row."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(size // 2**20)) + packer.flush()
    whole = png(16, 24)
    return whole[:33] + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")


def honest_images() -> dict[str, bytes]:
    """Files as cameras and encoders write them, of several sizes and layouts, by name."""
    random = np.random.default_rng(7)
    pixels = cv2.blur(random.integers(0, 256, (24, 40, 3), dtype=np.uint8), (5, 5))
    layouts = {
        "baseline": (),
        "progressive": (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "restarts": (cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
        "optimised": (cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    }
    images = {name: cv2.imencode(".jpg", pixels, options)[1].tobytes() for name, options in layouts.items()}
    images["grey"] = cv2.imencode(".jpg", pixels[:, :, 0])[1].tobytes()
    exif = b"\xff\xe1" + struct.pack(">H", 2 + 6 + len(images["grey"])) + b"Exif\0\0" + images["grey"]
    images["thumbnail"] = b"\xff\xd8" + exif + images["baseline"][2:]
    images["png"] = cv2.imencode(".png", pixels)[1].tobytes()
    images["grey png"] = cv2.imencode(".png", pixels[:, :, 0])[1].tobytes()
    images["alpha png"] = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_BGR2BGRA))[1].tobytes()
    return images


_PIECES = (
    *(bytes([0xFF, marker]) for marker in (0x00, 0x01, 0x9D, 0xC0, 0xC2, 0xC4, 0xD0, 0xD8, 0xD9, 0xDA, 0xE1, 0xFF)),
    b"\xff",
    b"\x00",
    b"\xff\xdc\x00\x04\x01\x00",
    b"\xff\xfe\x00\x04ab",
    b"\xff\xc0\x00\x0b\x08\x00\x40\x00\x50\x01\x01\x11\x00",
    b"\xff\xc0\x00\x11\x08\x00\x30\x00\x50\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01",
)


def mutated(data: bytes, others: tuple[bytes, ...], random: np.random.Generator) -> bytes:
    """The file with one to four things wrong with it: pieces put in, left out, repeated, overwritten, spliced."""
    for _ in range(random.integers(1, 5)):
        place = _place(data, random)
        piece = _PIECES[random.integers(len(_PIECES))]
        other = others[random.integers(len(others))]
        length = int(random.integers(1, 40))
        match random.integers(8):
            case 0:
                data = data[:place] + piece + data[place:]
            case 1:
                data = data[:place] + data[place + length :]
            case 2:
                data = data[:place] + data[place : place + 8 * length] + data[place:]
            case 3:
                data = data[:place] + random.bytes(1) + data[place + 1 :]
            case 4:
                data = data[:place] + piece + data[place + len(piece) :]
            case 5:
                data = data[:place] + other[_place(other, random) :]
            case 6:  # a whole file hidden in what could be a segment
                hidden = other[2:]
                head = b"\xff" + bytes([int(random.choice([0x00, 0x01, 0x9D, 0xDC, 0xE1, 0xC8, 0xFF]))])
                data = data[:2] + head + struct.pack(">H", 2 + len(hidden)) + hidden + data[2:]
            case _:  # another length for what may be a segment
                data = data[: place + 2] + struct.pack(">H", random.integers(0, 400)) + data[place + 4 :]
    return data


def _place(data: bytes, random: np.random.Generator) -> int:
    """Return a random place, mostly at a marker, because headers are misread there."""
    markers = [place for place in range(len(data)) if data[place] == 0xFF]
    if markers and random.random() < 0.7:
        return int(markers[random.integers(len(markers))])
    return int(random.integers(len(data) + 1))


def decoded_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) of what OpenCV makes of the data; None if it refuses them."""
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    return None if pixels is None else pixels.shape[:2]
