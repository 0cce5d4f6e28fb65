"""Where events go: the caller, the run's `metrics.jsonl`, TensorBoard."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from elman.errors import ElmanError
from elman.training.event_log import EventLog
from elman.training.events import Event, Note, Step
from elman.training.tensorboard import Board

LINE_SECONDS = 1.0
LOG = "metrics.jsonl"


class Emitter:
    """Passes events on. Steps reach the file at most once a second, with the mean loss since.

    A file that cannot be written (a full disk) is reported once as a Note and tried again with
    every event: training is not lost for it. TensorBoard's writer cannot try again and is given up.
    """

    def __init__(self, directory: Path | None, on_event: Callable[[Event], None] | None) -> None:
        self._directory = directory
        self._on_event = on_event
        self._log: EventLog | None = None
        self._board: Board | None = None
        self._failed = False
        self._line = 0.0
        self._losses: list[float] = []

    def open(self, keep: int, *, board: bool, step: int) -> None:
        """Opens the file, cut back to `keep` bytes, and TensorBoard from `step` on if wanted."""
        if self._directory is not None:
            self._log = EventLog(self._directory / LOG, keep)
            if board:
                self._board = Board(self._directory / "tensorboard", step)

    def tell(self, event: Event) -> None:
        """Passes the event to the caller only."""
        if self._on_event is not None:
            self._on_event(event)

    def __call__(self, event: Event) -> None:
        self.tell(event)
        self._draw(event)
        if self._log is None:
            return
        if isinstance(event, Step):
            self._losses.append(event.loss)
            now = time.monotonic()
            if now - self._line < LINE_SECONDS:
                return
            event = replace(event, loss=sum(self._losses) / len(self._losses))
            self._line = now
            self._losses = []
        try:
            self._log.append(event)
            self._failed = False
        except ElmanError as error:
            if not self._failed:
                self._failed = True
                self.tell(Note(f"{error} Training goes on."))

    def _draw(self, event: Event) -> None:
        if self._board is None:
            return
        try:
            self._board.write(event)
        except ElmanError as error:
            board, self._board = self._board, None
            with contextlib.suppress(ElmanError):
                board.close()
            self.tell(Note(f"{error} Training goes on without TensorBoard."))

    def sync(self) -> int:
        """Brings the file to the disk; its size in bytes."""
        return self._log.sync() if self._log is not None else 0

    def close(self) -> None:
        """Closes file and board."""
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._board is not None:
            board, self._board = self._board, None
            try:
                board.close()
            except ElmanError as error:
                self.tell(Note(f"{error} The files of TensorBoard lack their end."))
