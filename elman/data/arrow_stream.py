"""An Arrow stream cut into streams of one batch each, as polars reads a stream only whole.

Format: https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format. Messages follow
one another: four bytes of ones (not before 0.15), the length of the metadata, the metadata (a
flatbuffer), and as many bytes of data as the metadata say.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_MARK = b"\xff\xff\xff\xff"
_END = _MARK + bytes(4)
_BATCH = 3  # MessageHeader.RecordBatch; 1 is the schema, 2 a dictionary
_KIND_FIELD, _BODY_FIELD = 1, 3  # of the table Message


def batches(path: str) -> Iterator[bytes]:
    """Each batch of the stream as a stream of its own; one without rows where there is none.

    Raises:
        ValueError: the stream is damaged or ends in the middle.
    """
    before = b""  # the schema, and the dictionaries so far
    some = False
    with Path(path).open("rb") as file:
        while (message := _message(file)) is not None:
            kind, content = message
            if kind == _BATCH:
                some = True
                yield before + content + _END
            else:
                before += content
    if not some:
        yield before + _END


def _message(file: IO[bytes]) -> tuple[int, bytes] | None:
    """(the kind of the next message, the message); None at the end."""
    begin = file.read(4)
    if not begin:
        return None
    if len(begin) < 4:
        raise ValueError("the stream ends in the middle")
    if begin == _MARK:
        begin = _exactly(file, 4)
    (length,) = struct.unpack("<i", begin)
    if length == 0:
        return None
    metadata = _exactly(file, length)
    try:
        kind, size = _field(metadata, _KIND_FIELD, "<B"), _field(metadata, _BODY_FIELD, "<q")
    except struct.error:
        raise ValueError("a message of the stream is damaged") from None
    return kind, _MARK + struct.pack("<i", length) + metadata + _exactly(file, size)


def _exactly(file: IO[bytes], size: int) -> bytes:
    found = file.read(size) if size >= 0 else b""
    if len(found) != size:
        raise ValueError("the stream ends in the middle")
    return found


def _field(table: bytes, number: int, form: str) -> int:
    """A number out of the root table of a flatbuffer; 0 where it is left out."""
    (root,) = struct.unpack_from("<I", table, 0)
    (back,) = struct.unpack_from("<i", table, root)
    if root < back:
        raise struct.error("a table before the buffer")
    (size,) = struct.unpack_from("<H", table, root - back)
    place = 4 + 2 * number
    if place >= size:
        return 0
    (offset,) = struct.unpack_from("<H", table, root - back + place)
    return struct.unpack_from(form, table, root + offset)[0] if offset else 0
