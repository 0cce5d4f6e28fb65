"""A fitted floor: it predicts, is saved without pickle and loaded again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import ConfigError, RunError
from elman.metrics import apply_temperature
from elman.tasks import floor_store
from elman.tasks.floor_candidates import Linear, binary, joined, tf_idf
from elman.tasks.floor_ngrams import SPLITTERS, NgramTable

Split = Callable[[str], list[str]]
_PLAIN = ("name", "settings", "seconds", "several", "weighting", "temperature")
_BATCH = 4096  # texts predicted at once


@dataclass
class Floor:
    """A fitted floor.

    Attributes:
        name: what it is, in words.
        classes: the labels, in the order of the columns of `probabilities`.
        settings: how it was chosen: features, weights, the candidates and their validation scores.
        seconds: how long fitting and tuning took.
        several: a text may have any number of labels.
    """

    name: str
    classes: tuple[str, ...]
    settings: dict[str, Any]
    seconds: float
    several: bool = False
    weighting: str = "binary"
    temperature: float = 1.0
    tables: dict[str, NgramTable] = field(default_factory=dict, repr=False)
    idf: dict[str, NDArray[np.float64]] = field(default_factory=dict, repr=False)
    linear: Linear | None = field(default=None, repr=False)
    shares: NDArray[np.float64] | None = field(default=None, repr=False)
    tokens: Split | None = field(default=None, repr=False, compare=False)

    def probabilities(self, texts: Iterable[str]) -> NDArray[np.float64]:
        """(texts, classes): probabilities, scaled so that they fit the validation part.

        Raises:
            ConfigError: the floor was fitted with a tokeniser of the caller's, and has none now.
        """
        parts = [self._batch(batch) for batch in _batches(texts, _BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.classes)))

    def predict(self, texts: Iterable[str]) -> list[Any]:
        """Each text's label; with `several`, a tuple of labels."""
        return self.labels(self.probabilities(texts))

    def labels(self, probabilities: NDArray[np.float64]) -> list[Any]:
        """The labels that belong to rows of `probabilities`."""
        if not self.several:
            return [self.classes[k] for k in probabilities.argmax(axis=1)]
        return [tuple(self.classes[k] for k in np.flatnonzero(row > 0.5)) for row in probabilities]

    def save(self, folder: str | Path, name: str = "floor") -> list[str]:
        """Writes NAME.json and NAME.safetensors into `folder` (no pickle) and gives their names.

        Raises:
            ElmanError: they cannot be written.
        """
        document: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        document["classes"] = list(self.classes)
        document["beta"] = self.linear.beta if self.linear else None
        document["tables"] = [
            {"level": table.level, "orders": len(table.keys), "units": table.units}
            for table in self.tables.values()
        ]
        return floor_store.save(Path(folder), name, document, self._arrays())

    @classmethod
    def load(cls, folder: str | Path, name: str = "floor", *, tokens: Split | None = None) -> Floor:
        """The floor that `save` wrote.

        Args:
            name: of its files.
            tokens: the tokeniser that `fit_floor` was given, if it was given one.

        Raises:
            RunError: a file is missing, damaged or of another version.
        """
        document, arrays = floor_store.load(Path(folder), name)
        try:
            return cls(**_arguments(document, arrays), tokens=tokens)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            message = f"the floor's description does not fit its numbers ({error})."
            raise RunError(message, where=str(Path(folder) / f"{name}.json")) from error

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {}
        for level, table in self.tables.items():
            for order, keys in enumerate(table.keys):
                arrays[f"{level}.keys.{order + 1}"] = keys
        arrays |= {f"{level}.idf": idf for level, idf in self.idf.items()}
        if self.linear is not None:
            arrays |= {"weights": self.linear.weights, "bias": self.linear.bias}
        if self.shares is not None:
            arrays["shares"] = self.shares
        return arrays

    def _batch(self, texts: list[str]) -> NDArray[np.float64]:
        if self.linear is None:
            assert self.shares is not None
            return np.tile(self.shares, (len(texts), 1))
        blocks = {}
        for level, table in self.tables.items():
            counts = table.counts(table.stream(texts, self._split(level)))
            blocks[level] = self._weighted(level, counts)
        scores = self.linear.scores(joined(blocks, tuple(blocks)))
        return scaled_scores(scores, self.temperature, self.several)

    def _weighted(self, level: str, counts: Any) -> Any:
        return binary(counts) if self.weighting == "binary" else tf_idf(counts, self.idf[level])

    def _split(self, level: str) -> Split:
        if level == "word" and self.settings.get("tokens") == "given":
            if self.tokens is None:
                message = "this floor was fitted with a tokeniser that was not given now."
                raise ConfigError(message, where="floor", hint="Give `tokens=` to Floor.load.")
            return self.tokens
        return SPLITTERS[level]


def scaled_scores(
    scores: NDArray[np.float64], temperature: float, several: bool
) -> NDArray[np.float64]:
    """Scores as probabilities: a softmax, or a sigmoid a column when labels are independent."""
    if several:
        return np.exp(-np.logaddexp(0.0, -scores / temperature))
    shifted = scores - scores.max(axis=1, keepdims=True)
    plain = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    return apply_temperature(plain, temperature)


def _arguments(document: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """The fields of `Floor` from what was stored."""
    tables = {}
    for one in document["tables"]:
        level = one["level"]
        keys = [arrays[f"{level}.keys.{order + 1}"] for order in range(one["orders"])]
        tables[level] = NgramTable(level, one["units"], keys)
    linear = None
    if document["beta"] is not None:
        linear = Linear(arrays["weights"], arrays["bias"], document["beta"])
        if len(linear.weights) != sum(table.size for table in tables.values()):
            raise ValueError("one weight for each feature is wanted")
    return {name: document[name] for name in _PLAIN} | {
        "classes": tuple(document["classes"]),
        "tables": tables,
        "idf": {level: arrays[f"{level}.idf"] for level in tables if f"{level}.idf" in arrays},
        "linear": linear,
        "shares": arrays.get("shares"),
    }


def _batches(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    stream = iter(texts)
    while batch := list(islice(stream, size)):
        yield batch
