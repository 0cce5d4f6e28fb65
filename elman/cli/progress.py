"""Progress of a training: a bar on a terminal, plain lines elsewhere, always on standard error."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import elman
from elman.cli.output import duration, say

# Plain lines come at most this often, so that a log of an hour stays readable.
_SECONDS_BETWEEN_LINES = 15.0


class Screen(Protocol):
    """Where progress is shown."""

    def step(self, event: Any) -> None:
        """A step was made."""
        ...

    def line(self, text: str) -> None:
        """Something worth a line of its own happened."""
        ...


@contextlib.contextmanager
def watching() -> Iterator[Callable[[Any], None]]:
    """Gives the function to hand to `fit(on_event=)`; the bar goes away when the block ends."""
    terminal = sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
    with _bar() if terminal else contextlib.nullcontext(Lines()) as screen:
        yield lambda event: _show(event, screen)


def _show(event: Any, screen: Screen) -> None:
    events = elman.training
    if isinstance(event, events.Started):
        budget = f", at most {event.minutes:g} min" if event.minutes else ""
        screen.line(
            f"training {event.parameters:,} parameters on {event.device}: "
            f"{event.epochs} epochs, {event.steps} steps{budget}"
        )
    elif isinstance(event, events.Step):
        screen.step(event)
    elif isinstance(event, events.Validated):
        best = "  (best so far)" if event.best else ""
        screen.line(
            f"epoch {event.epoch}: training loss {event.loss:.4f}, {measures(event.metrics)}{best}"
        )
    elif isinstance(event, events.Note):
        screen.line(event.message)


def measures(metrics: Mapping[str, float]) -> str:
    """`{"accuracy": 0.91}` -> `accuracy 0.9100`."""
    return ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in metrics.items())


class Lines:
    """Plain lines, at most one in 15 seconds for steps."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def step(self, event: Any) -> None:
        """Says where training stands, if the last line is old enough."""
        if time.monotonic() - self._last < _SECONDS_BETWEEN_LINES:
            return
        self.line(
            f"epoch {event.epoch}/{event.epochs}, step {event.step}/{event.steps}, "
            f"loss {event.loss:.4f}, {left(event.eta)}"
        )

    def line(self, text: str) -> None:
        """Writes the line."""
        self._last = time.monotonic()
        say(text)


def left(eta: float) -> str:
    """The time that training still takes, in words."""
    return f"{duration(max(0.0, eta))} left" if math.isfinite(eta) else "time left unknown"


class _Bar:
    """A bar for the whole training: epoch, loss, time left."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._row = progress.add_task("training", total=1.0, loss="", left="")

    def step(self, event: Any) -> None:
        self._progress.update(
            self._row,
            description=f"epoch {event.epoch}/{event.epochs}",
            completed=event.progress,
            loss=f"loss {event.loss:.4f}",
            left=left(event.eta),
        )

    def line(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)


@contextlib.contextmanager
def _bar() -> Iterator[_Bar]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[loss]}"),
        TextColumn("{task.fields[left]}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, refresh_per_second=4) as progress:
        yield _Bar(progress)
