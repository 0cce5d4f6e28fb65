"""`elman.load`: whatever task is in a run directory."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from elman.cells import Cell
from elman.errors import RunError
from elman.tasks import run
from elman.tasks.classify import Classifier
from elman.tasks.lm import LanguageModel

_TASKS: dict[str, Any] = {"classify": Classifier, "lm": LanguageModel}


def load(folder: str | PathLike[str], *, cell: Cell | None = None) -> Any:
    """The trained task in a run directory.

    Raises:
        RunError: there is no finished, undamaged run of a task that this version knows.
    """
    path = Path(folder)
    run.verify(path)
    name = run.read_yaml(path / "config.yaml").get("task")
    if name not in _TASKS:
        raise RunError(f'the run is of a task "{name}" that this version does not know.')
    return _TASKS[name].load(path, cell=cell)
