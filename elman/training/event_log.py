"""The file of events: one JSON line each, written at once, cut back exactly when a run resumes."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path

from elman.files import explain
from elman.training.events import Event, to_line


class EventLog:
    """Appends events to `path`.

    Args:
        path: the file; its folder is made when missing.
        keep: bytes of an existing file to keep; the rest belongs to steps that a resumed run will
            do again. A file that is shorter is kept up to its last whole line.

    Raises:
        ElmanError: the file cannot be opened.
    """

    def __init__(self, path: Path, keep: int = 0) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            self.size = self._whole_lines(keep)
            self._cut()
        except OSError as error:
            raise explain(error, path) from error

    def _whole_lines(self, keep: int) -> int:
        size = os.fstat(self._file).st_size
        if size >= keep:
            return keep
        content = os.pread(self._file, size, 0)
        return content.rfind(b"\n") + 1

    def append(self, event: Event) -> None:
        """Writes one line; after a failure the file still ends with a whole line.

        Raises:
            ElmanError: the line cannot be written, for instance because the disk is full.
        """
        line = (to_line(event, time.time()) + "\n").encode()
        try:
            if os.write(self._file, line) < len(line):
                raise OSError(errno.ENOSPC, "No space left on device")
            self.size += len(line)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._cut()
            raise explain(error, self.path) from error

    def _cut(self) -> None:
        if os.fstat(self._file).st_size != self.size:
            os.ftruncate(self._file, self.size)
        os.lseek(self._file, self.size, os.SEEK_SET)

    def sync(self) -> int:
        """Brings everything to the disk and returns the size in bytes."""
        try:
            os.fsync(self._file)
        except OSError as error:
            raise explain(error, self.path) from error
        return self.size

    def close(self) -> None:
        """Closes the file; further events are an error."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
