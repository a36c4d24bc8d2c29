"""Opens files that somebody else may have put there: regular ones only, and no more of them than is expected."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_PIECE = 2**20


class NotRegularFileError(OSError):
    """A pipe, a device or a socket, which could block for ever or have no end. `strerror` says what was found."""


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file, or a link to one, for reading bytes, without waiting.

    Raises OSError, whose `strerror` is always set: IsADirectoryError for a directory, NotRegularFileError for
    everything else that is no file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except ValueError as error:  # a null character in the name
        raise OSError(errno.EINVAL, str(error), str(path)) from error
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISREG(kind):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise NotRegularFileError(errno.EINVAL, "expected a file, got a pipe or a device", str(path))


def read_regular(path: Path, most_bytes: int) -> bytes:
    """Return what is in a regular file. Raises OSError as `open_regular` does, and for more than `most_bytes`."""
    content = bytearray()  # grows with the file: asking for `most_bytes` at once would take as much memory
    with open_regular(path) as file:
        while piece := file.read(_PIECE):
            content += piece
            if len(content) > most_bytes:
                raise OSError(errno.EFBIG, f"expected at most {most_bytes} bytes, got more", str(path))
    return bytes(content)
