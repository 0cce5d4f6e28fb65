"""Labelled texts of a file as a task uses them: read once, then streamed by row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from elman.data import (
    EncodedTexts,
    Examples,
    Shaped,
    TextConfig,
    TextExample,
    Tokeniser,
    count_labels,
    encode,
    read_examples,
)
from elman.errors import DataError
from elman.metrics import length_facts


@dataclass(frozen=True)
class LabelledTexts:
    """A file's rows: the labels in memory, the texts read again whenever they are needed.

    `rows` restricts a set to some of the file's rows (a split, a fold).
    """

    examples: Examples
    labels: tuple[tuple[str, ...], ...]
    several: bool
    rows: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def source(self) -> Any:
        """What to iterate over: all examples or the chosen rows."""
        return self.examples if self.rows is None else self.examples.select(self.rows)

    def texts(self) -> Iterator[str]:
        """The texts, read in a stream."""
        return self.source.texts()

    def select(self, rows: Sequence[int]) -> LabelledTexts:
        """The rows at these positions, in the order of the file."""
        chosen = sorted(rows)
        places = chosen if self.rows is None else [self.rows[row] for row in chosen]
        labels = tuple(self.labels[row] for row in chosen)
        return LabelledTexts(self.examples, labels, self.several, tuple(places))

    def truth(self) -> list[Any]:
        """Each row's label, or its labels when there may be several."""
        return list(self.labels) if self.several else [label[0] for label in self.labels]

    def counts(self) -> dict[str, int]:
        """Rows of each class."""
        return dict(count_labels(self.labels))

    def at(self, rows: Sequence[int]) -> dict[int, tuple[str, str]]:
        """Text and place of some rows, by their position in this set."""
        wanted = set(rows)
        found: dict[int, tuple[str, str]] = {}
        for position, example in enumerate(self.source):
            if position in wanted:
                found[position] = (example.text, example.where)
                if len(found) == len(wanted):
                    break
        return found


def reading_options(config: TextConfig, columns: Mapping[str, str | None] | None) -> dict[str, Any]:
    """The options of `read_examples` in the settings, with `columns` where they name none."""
    options = config.model_dump(exclude={"tokeniser", "max_tokens", "head_tail", "several_labels"})
    for name, column in (columns or {}).items():
        if options.get(name) is None:
            options[name] = column
    return options


def read_labelled(
    path: str | PathLike[str],
    config: TextConfig,
    *,
    columns: Mapping[str, str | None] | None = None,
    several: bool | None = None,
) -> LabelledTexts:
    """The labelled texts in `path`.

    Args:
        path: a file or folder; "-" reads standard input.
        config: how to read it.
        columns: `text` and `label` columns that were found in the training file, used where the
            settings name none, if this file has them.
        several: whether a row may have several labels; None leaves it to the file.

    Raises:
        DataError: the file or a row cannot be used.
    """
    examples = read_examples(path, **reading_options(config, columns))
    labels = tuple(example.labels for example in examples)
    found = examples.several_labels if several is None else several
    if not found:
        wrong = next((row for row, label in enumerate(labels) if len(label) != 1), None)
        if wrong is not None:
            raise DataError(
                f"row {wrong + 1} has {len(labels[wrong])} labels, wanted one.",
                where=str(examples.facts.get("path")),
                hint="Use --data.several_labels true if texts may have several labels.",
            )
    return LabelledTexts(examples, labels, found)


def encoded(
    texts: LabelledTexts | Sequence[TextExample],
    tokeniser: Tokeniser,
    classes: Sequence[str],
    *,
    several: bool,
    shapes: bool | None,
) -> EncodedTexts:
    """The texts as numbers, with `shapes` those of `elman.data.Shaped`."""
    source = texts.source if isinstance(texts, LabelledTexts) else texts
    encoder = Shaped(tokeniser) if shapes else tokeniser
    return encode(source, encoder, classes, several_labels=several)


_READ = ("path", "format", "encoding", "delimiter", "compression", "text", "label")


def file_facts(texts: LabelledTexts) -> dict[str, Any]:
    """What `result.json` says about a set that was not encoded: file, rows, classes."""
    found = texts.examples.facts
    return {
        **{key: found.get(key) for key in _READ},
        "path": str(found.get("path")),
        "rows": len(texts),
        "fingerprint": texts.examples.fingerprint(),
        "classes": texts.counts(),
    }


def facts(
    texts: LabelledTexts, numbers: EncodedTexts, tokeniser: Tokeniser, **more: Any
) -> dict[str, Any]:
    """What `result.json` says about a set: file, rows, fingerprint, classes, tokens."""
    lengths = numbers.lengths
    total = int(lengths.sum())
    unknown = numbers.ids % tokeniser.size == tokeniser.unknown_id
    return {
        **file_facts(texts),
        "tokens": length_facts(lengths),
        "unknown_share": float(unknown.sum() / total) if total else 0.0,
        **more,
    }
