"""Ctrl-C and SIGTERM: training stops after the step in hand, with a checkpoint."""

from __future__ import annotations

import _thread
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from elman.errors import TrainingError


class Interrupted(TrainingError, KeyboardInterrupt):  # noqa: N818 - as KeyboardInterrupt is
    """Training was stopped by a signal; the message says how to go on."""


class Interrupts:
    """A block in which SIGINT and SIGTERM are noted instead of ending the process.

    The second signal raises KeyboardInterrupt at once; so does the first one while `impatient`
    is set, which is for long stretches that can be repeated (a validation). Outside of the main
    thread Python allows no handlers: there signals keep their usual meaning.

    Args:
        deaf: pay no heed to signals, only to `request`. Worker processes are deaf: a terminal's
            Ctrl-C reaches them too, but it is for their parent to pass it on, once.
    """

    def __init__(self, *, deaf: bool = False) -> None:
        self.requested = False
        self.impatient = False
        self._deaf = deaf
        self._told = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            # A handler that was not set from Python reads as None and cannot be put back.
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before = {}

    def request(self) -> None:
        """Has the effect of a signal; may be called from any thread."""
        self._told = True
        _thread.interrupt_main(signal.SIGINT)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self._deaf and not self._told:
            return
        self._told = False
        again = self.requested
        self.requested = True
        if again or self.impatient:
            raise KeyboardInterrupt
