"""What a run directory says about itself, read for reports: nothing is computed here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elman import files
from elman.errors import RunError
from elman.tasks.run import verify_file

FORMAT = 1
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class RunRecord:
    """The files of a run directory that a report is made from.

    Attributes:
        folder: the directory; `shown` is how commands name it.
        result: result.json.
        events: the lines of metrics.jsonl; empty when there is none.
        config: config.yaml as text; empty when there is none.
        environment: environment.json; empty when there is none.
    """

    folder: Path
    result: Facts
    events: tuple[Facts, ...]
    config: str
    environment: Facts

    @property
    def shown(self) -> str:
        """The run directory as the user named it."""
        return str(self.folder)

    def part(self, *names: str) -> Facts:
        """A section of the result by its path, empty where it is absent."""
        return section(self.result, *names)

    @property
    def evaluation(self) -> Facts:
        """What was measured."""
        return self.part("evaluation")

    @property
    def metrics(self) -> Facts:
        """The model's metrics."""
        return self.part("evaluation", "metrics")

    @property
    def floor_metrics(self) -> Facts:
        """The floor's metrics, empty without a floor."""
        return self.part("floor", "metrics")

    @property
    def name(self) -> str:
        """The run's name."""
        return str(self.result.get("name") or self.folder.name)

    @property
    def has_model(self) -> bool:
        """Whether a model is in the run; a learning curve and a cross-validation leave none."""
        return not self.part("shots") and not (self.part("folds") and not self.evaluation)

    def sentence(self) -> str:
        """The result in one sentence: the comparison, or the measurement when there is no floor."""
        told = self.part("comparison").get("sentence") or self.result.get("sentence")
        if told:
            return str(told)
        accuracy = self.metrics.get("accuracy")
        folds = self.part("folds").get("mean")
        if accuracy is None and isinstance(folds, Mapping):
            accuracy = folds.get("accuracy")
        if accuracy is None:
            return "Nothing was measured in this run."
        return f"Accuracy {accuracy * 100:.1f} %. No floor was trained to compare it with."

    def events_of(self, kind: str) -> list[Facts]:
        """The events of one kind, in order."""
        return [event for event in self.events if event.get("event") == kind]


def section(facts: Any, *names: str) -> Facts:
    """The mapping at a path inside `facts`; empty where something else or nothing is there."""
    for name in names:
        facts = facts.get(name) if isinstance(facts, Mapping) else None
    return facts if isinstance(facts, Mapping) else {}


def read_run(folder: Path) -> RunRecord:
    """The record of a run directory. Only result.json must be there.

    Raises:
        RunError: no such folder, no result.json, a damaged file, or another format.
    """
    if not folder.is_dir():
        raise RunError("there is no such run directory.", where=str(folder), hint="Check the path.")
    path = folder / "result.json"
    for name in ("result.json", "config.yaml"):
        if (folder / name).exists():
            verify_file(folder, name)
    if not path.exists():
        hint = "Let the training finish (`elman train ... --resume`), then ask again."
        raise RunError("this run has no result.json yet.", where=str(folder), hint=hint)
    result = files.read_json(path)
    if not isinstance(result, Mapping) or result.get("format") != FORMAT:
        found = result.get("format") if isinstance(result, Mapping) else None
        raise RunError(f"format {found!r}; this elman reads format {FORMAT}.", where=str(path))
    return RunRecord(
        folder,
        result,
        tuple(_events(folder / "metrics.jsonl")),
        _text(folder / "config.yaml"),
        _mapping(folder / "environment.json"),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    except OSError as error:
        raise RunError(files.explain(error, path, "read").message) from error


def _mapping(path: Path) -> Facts:
    found = files.read_json(path) if path.exists() else {}
    return found if isinstance(found, Mapping) else {}


def _events(path: Path) -> list[Facts]:
    """The lines that are JSON objects; a line cut off by a crash is passed over."""
    found = []
    for line in _text(path).splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, Mapping):
            found.append(event)
    return found
