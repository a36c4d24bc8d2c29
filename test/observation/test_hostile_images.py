"""No file decodes to another size than its header showed before decoding."""

import io
import resource
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from act_inference_ros.errors import ObservationError
from act_inference_ros.observation.compressed import decode_bytes, read_header
from act_inference_ros.observation.images import is_jpeg_of_size
from act_inference_ros.observation.jpeg_header import MAX_SCANS, MAX_SEGMENTS, JpegError, read_jpeg_header
from act_inference_ros.observation.png_header import PngError, check_png_pixels, read_png_header
from test import hostile_images as hostile

CORPUS = Path(__file__).parents[1] / "data" / "hostile_images"
HONEST = hostile.honest_images()
JPEG, PNG = hostile.jpeg(16, 24), hostile.png(16, 24)
ROUNDS = 1500


def shown_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) as the header is read here; None for what is refused."""
    try:
        header = read_header(data)
    except ObservationError:
        return None
    return header.height, header.width


def check_agreement(data: bytes) -> None:
    shown = shown_size(data)
    if shown is not None:
        assert hostile.decoded_size(data) in (None, shown), data.hex()


@pytest.mark.parametrize("name", HONEST)
def test_honest_files_are_read(name: str) -> None:
    assert shown_size(HONEST[name]) == hostile.decoded_size(HONEST[name]) == (24, 40)


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_files_that_once_decoded_to_another_size_are_refused(path: Path) -> None:
    assert shown_size(path.read_bytes()) is None


@pytest.mark.parametrize("seed", range(4))
def test_changed_files_never_decode_to_another_size_than_their_header_shows(seed: int) -> None:
    random = np.random.default_rng(seed)
    files = (*HONEST.values(), hostile.jpeg(64, 80), hostile.png(7, 90))
    for _ in range(ROUNDS):
        check_agreement(hostile.mutated(files[random.integers(len(files))], files, random))


def test_bombs_are_refused_before_anything_is_decoded() -> None:
    bombs = [
        hostile.jpeg_bomb(96, 96),
        hostile.resized_jpeg(JPEG, 16000, 16000),
        hostile.png_bomb(6000),
        hostile.png_with_more(2**27),
        JPEG[:2] + b"\xff\xfe\x00\x02" * 200_000 + JPEG[2:],
        JPEG[:2] + b"\xff" * 4_000_000,
        JPEG[:-2] + b"\xff" * 4_000_000,
        PNG[:33] + hostile.png_chunk(b"tEXt", b"") * 200_000 + PNG[33:],
    ]
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    for bomb in bombs:
        with pytest.raises(ObservationError, match=r"^image: "):
            decode_bytes(bomb)
    assert time.process_time() - began < 5.0  # the first alone took 3 s and 1.5 GB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident < 100_000  # kB


def _insert(content: bytes) -> bytes:
    """The JPEG with something put before its frame header."""
    place = JPEG.index(b"\xff\xc0")
    return JPEG[:place] + content + JPEG[place:]


FRAME = JPEG[JPEG.index(b"\xff\xc0") :][:19]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_insert(b"\xff\x00\x00\x04ab"), "marker ff 00 outside"),
        (_insert(b"\xff\x01"), "marker ff 01 outside"),
        (_insert(b"\xff\xd3"), "marker ff d3 outside"),
        (_insert(b"\xff\xd8"), "marker ff d8 outside"),
        (_insert(b"\xff\xdc\x00\x04\x00\x10"), "got one with the marker ff dc"),
        (_insert(b"\xff\x9d\x00\x04ab"), "got one with the marker ff 9d"),
        (_insert(b"ab"), "expected a marker at byte"),
        (_insert(b"\xff\xfe\x00\x01"), "a segment of length 1"),
        (_insert(b"\xff\xfe\xff\xff"), "end within a segment"),
        (_insert(FRAME), "two frame headers"),
        (JPEG.replace(FRAME, b""), "without a frame header"),
        (JPEG.replace(b"\xff\xc0", b"\xff\xc3"), "expected a baseline, extended, progressive JPEG"),
        (JPEG.replace(b"\xff\xc0", b"\xff\xc9"), "expected a baseline, extended, progressive JPEG"),
        (hostile.resized_jpeg(JPEG, 0, 24), "got 0 x 24"),
        (JPEG.replace(FRAME, FRAME[:4] + b"\x0c" + FRAME[5:]), "bits=12"),
        (JPEG.replace(FRAME, FRAME[:9] + b"\x02" + FRAME[10:]), "a frame header of 15 bytes"),
        (JPEG[:-2] + FRAME + JPEG[-2:], "two frame headers"),
        (JPEG[:-2] + b"\xff\xd8" + JPEG[-2:], "marker ff d8 outside"),
        (_insert(b"\xff\xfe\x00\x02" * MAX_SEGMENTS), f"more than {MAX_SEGMENTS} segments"),
        (JPEG[:-2] + JPEG[JPEG.index(b"\xff\xda") : -2] * MAX_SCANS + JPEG[-2:], f"{MAX_SCANS + 1} scans or more"),
        (JPEG[:-2], "truncated JPEG"),
        (b"\xff\xd8\xff\xd9", "truncated JPEG"),
        (b"\xff\xd8", "truncated JPEG"),
    ],
)
def test_a_jpeg_that_is_not_well_formed_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ObservationError, match=message):
        read_header(data)
    assert not is_jpeg_of_size(data, 16, 24)


@pytest.mark.parametrize(("height", "width", "most"), [(4096, 8192, 16), (2048, 8192, 32), (2048, 4096, MAX_SCANS)])
def test_large_images_have_fewer_scans(height: int, width: int, most: int) -> None:
    """For each scan the decoder passes over the whole image: 64 scans of the largest one took 1.7 s."""
    begin = hostile.resized_jpeg(JPEG, height, width)[:-2] + bytes(height * width // 512)
    scan = JPEG[JPEG.index(b"\xff\xda") : -2]
    header = read_jpeg_header(begin + scan * (most - 1) + JPEG[-2:])
    assert (header.height, header.width) == (height, width)
    with pytest.raises(JpegError, match=f"{most + 1} scans or more of {height} x {width} pixels"):
        read_jpeg_header(begin + scan * most + JPEG[-2:])


def test_fill_bytes_before_a_marker_are_allowed() -> None:
    assert shown_size(_insert(b"\xff\xff\xff")) == hostile.decoded_size(_insert(b"\xff\xff\xff")) == (16, 24)


HEAD, CHUNKS = PNG[:8], PNG[33:]
IHDR = PNG[8:33]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (HEAD + IHDR + IHDR + CHUNKS, "two headers"),
        (HEAD + hostile.png_chunk(b"tEXt", b"a\0b") + IHDR + CHUNKS, "no header at its beginning"),
        (HEAD + hostile.png_chunk(b"IHDR", IHDR[8:20]) + CHUNKS, "a header of 12 bytes"),
        (HEAD + IHDR + hostile.png_chunk(b"acTL", bytes(8)) + CHUNKS, "an animation"),
        (HEAD + IHDR + hostile.png_chunk(b"zTXt", b"a\0\0x") + CHUNKS, "packed text"),
        (HEAD + IHDR + hostile.png_chunk(b"CRIT", b"") + CHUNKS, "a chunk b'CRIT'"),
        (HEAD + IHDR + struct.pack(">I", 2**32 - 1) + b"tEXt" + CHUNKS, "end within a chunk"),
        (HEAD + hostile.png_chunk(b"IHDR", struct.pack(">II", 5000, 5000) + IHDR[16:21]) + CHUNKS, "truncated PNG"),
        (HEAD + hostile.png_chunk(b"IHDR", struct.pack(">II", 0, 5) + IHDR[16:21]) + CHUNKS, "got 5 x 0"),
        (HEAD + hostile.png_chunk(b"IHDR", IHDR[8:16] + b"\x08\x01\0\0\0") + CHUNKS, "colour type 1"),
    ],
)
def test_a_png_that_is_not_well_formed_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ObservationError, match=message):
        read_header(data)


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (8, 8), (24, 40), (3, 130)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1"])
@pytest.mark.parametrize("interlaced", [False, True])
def test_the_pixels_of_a_png_are_counted_right(size: tuple[int, int], mode: str, interlaced: bool) -> None:
    data = _interlaced(size, mode) if interlaced else _plain(size, mode)
    assert decode_bytes(data).shape == (*size, 3)
    header = read_png_header(data)
    assert header.interlaced is interlaced
    with pytest.raises(PngError, match="fewer pixels"):
        check_png_pixels(data, header._replace(height=size[0] + 1))
    if size[0] > 1:
        with pytest.raises(PngError, match="more pixels"):
            check_png_pixels(data, header._replace(height=size[0] - 1))


def _plain(size: tuple[int, int], mode: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((*size, 3), np.uint8)).convert(mode).save(file, "PNG")
    return file.getvalue()


def _interlaced(size: tuple[int, int], mode: str) -> bytes:
    """A black Adam7 PNG, put together pass by pass: no encoder here writes one."""
    plain = _plain(size, mode)
    bits, colour = plain[24], plain[25]
    per_pixel = bits * {0: 1, 2: 3, 3: 1, 6: 4}[colour]
    rows = b""
    for x0, y0, dx, dy in [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ]:
        columns, lines = len(range(x0, size[1], dx)), len(range(y0, size[0], dy))
        rows += bytes(lines * (1 + (columns * per_pixel + 7) // 8)) if columns else b""
    palette = hostile.png_chunk(b"PLTE", bytes(6)) if colour == 3 else b""
    header = hostile.png_chunk(b"IHDR", plain[16:28] + b"\x01")
    return plain[:8] + header + palette + hostile.png_chunk(b"IDAT", zlib.compress(rows)) + plain[-12:]


def _container(kind: str) -> bytes:
    return cv2.imencode(kind, np.zeros((64, 64, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    "make",
    [
        *(lambda kind=kind: _container(kind) for kind in (".webp", ".tiff", ".bmp", ".ppm", ".jp2", ".ras")),
        lambda: b"GIF89a" + bytes(30),
        lambda: b"#?RADIANCE\n" + bytes(30),
        lambda: b"v/1\x01" + bytes(30),
        lambda: b"\0\0\0\x1cftypavif" + bytes(30),
        lambda: b"",
    ],
)
def test_other_formats_that_opencv_decodes_are_refused(make: Callable[[], bytes]) -> None:
    with pytest.raises(ObservationError, match="neither JPEG nor PNG"):
        decode_bytes(make())
