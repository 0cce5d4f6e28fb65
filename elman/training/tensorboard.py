"""An optional writer of TensorBoard files (extra `tensorboard`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from elman.errors import MissingExtraError
from elman.files import explain
from elman.training.config import TrainingConfig
from elman.training.events import Event, Step, Validated


def check_extras(config: TrainingConfig) -> None:
    """Whether what the settings need is installed, to be asked before any work is done.

    Raises:
        MissingExtraError: the package tensorboard is not.
    """
    if config.tensorboard:
        _writer()


def _writer() -> Any:
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError as error:
        raise MissingExtraError(
            "training.tensorboard needs the package tensorboard.",
            hint='Install it with: pip install "elman[tensorboard]"',
        ) from error
    return SummaryWriter


class Board:
    """Writes losses, rates and metrics to `folder`.

    Args:
        step: later points of an earlier part of the run are hidden by TensorBoard.

    Raises:
        MissingExtraError: the package tensorboard is not installed.
        ElmanError: the folder cannot be written.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        writer = _writer()
        with self._explained():
            self._writer: Any = writer(str(folder), purge_step=step if step else None)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise explain(error, self._folder) from error

    def write(self, event: Event) -> None:
        """Writes what of the event is a number.

        Raises:
            ElmanError: it cannot be written, for instance because the disk is full. The writer
                gives up then: nothing more can be written.
        """
        with self._explained():
            if isinstance(event, Step):
                self._writer.add_scalar("train/loss", event.loss, event.step)
                self._writer.add_scalar("train/lr", event.lr, event.step)
                self._writer.add_scalar("train/gradient", event.gradient, event.step)
            elif isinstance(event, Validated):
                for name, value in event.metrics.items():
                    self._writer.add_scalar(f"valid/{name}", value, event.step)

    def close(self) -> None:
        """Flushes and closes the files.

        Raises:
            ElmanError: what was left cannot be written.
        """
        with self._explained():
            self._writer.close()
