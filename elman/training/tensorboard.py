"""An optional writer of TensorBoard files (extra `tensorboard`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from elman.errors import MissingExtraError
from elman.training.events import Event, Step, Validated


class Board:
    """Writes losses, rates and metrics to `folder`.

    Args:
        step: later points of an earlier part of the run are hidden by TensorBoard.

    Raises:
        MissingExtraError: the package tensorboard is not installed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError as error:
            raise MissingExtraError(
                "training.tensorboard needs the package tensorboard.",
                hint='Install it with: pip install "elman[tensorboard]"',
            ) from error
        self._writer: Any = SummaryWriter(str(folder), purge_step=step if step else None)

    def write(self, event: Event) -> None:
        """Writes what of the event is a number."""
        if isinstance(event, Step):
            self._writer.add_scalar("train/loss", event.loss, event.step)
            self._writer.add_scalar("train/lr", event.lr, event.step)
            self._writer.add_scalar("train/gradient", event.gradient, event.step)
        elif isinstance(event, Validated):
            for name, value in event.metrics.items():
                self._writer.add_scalar(f"valid/{name}", value, event.step)

    def close(self) -> None:
        """Flushes and closes the files."""
        self._writer.close()
