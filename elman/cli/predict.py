"""`elman predict`: a run's predictions for texts, files or standard input."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

from cyclopts import Parameter

import elman
from elman.cli.output import show, show_json
from elman.errors import ConfigError, DataError

_AT_A_TIME = 512
_COMPRESSED = (".gz", ".xz", ".zst", ".bz2")
_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".conll")
Item = TypeVar("Item")


def predict(
    run: Annotated[Path, Parameter(help="The run directory.")],
    /,
    *inputs: Annotated[str, Parameter(help="A text, a file, or - for standard input.")],
    text: Annotated[str | None, Parameter(help="The column of the texts in a table.")] = None,
    probabilities: Annotated[bool, Parameter(help="Show every class's probability.")] = False,
    json: Annotated[bool, Parameter(help="Print one JSON object a line.")] = False,
) -> None:
    """Predict with a run: one line for each text, its class, the probability and the text.

    An INPUT that is a file is read: tables (CSV, TSV, JSON Lines, Parquet) row by row, other files
    line by line. Anything else is the text itself.
    """
    task = elman.load(run)
    if isinstance(task, elman.LanguageModel):
        raise ConfigError(
            "a language model predicts no classes.",
            hint=f"Let it write with `elman generate {run}`, or rate texts with `elman score`.",
        )
    if not inputs:
        raise DataError("there is nothing to predict.", hint="Give texts, a file, or - for stdin.")
    some = False
    for texts in _chunks(itertools.chain.from_iterable(_texts(item, text) for item in inputs)):
        some = True
        for prediction in task.predict(texts):
            if json:
                show_json(prediction.as_dict(), indent=None)
                continue
            line = f"{prediction.label or '(none)'}\t{prediction.probability:.4f}\t"
            show(line + " ".join(prediction.text.split()))
            if probabilities:
                ranked = sorted(prediction.probabilities.items(), key=lambda pair: -pair[1])
                for name, value in ranked:
                    show(f"    {value:.4f}  {name}")
        sys.stdout.flush()
    if not some:
        raise DataError("there is nothing to predict: the input is empty.")


def _texts(source: str, column: str | None) -> Iterator[str]:
    if source == "-":
        for number, line in enumerate(sys.stdin.buffer, start=1):
            yield _decoded(line, f"standard input, line {number}")
        return
    path = Path(source)
    if not _is_file(path):
        yield source
        return
    plain = path.with_suffix("") if path.suffix.lower() in _COMPRESSED else path
    kind = None if plain.suffix.lower() in _TABLES else "lines"
    for example in elman.data.read_examples(source, text=column, format=kind, need_labels=False):
        yield example.text


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        # A text may be too long for a file name or hold a null character.
        return False


def _decoded(line: bytes, where: str) -> str:
    try:
        return line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"got a byte that is not UTF-8: 0x{line[error.start]:02x}.",
            where=where,
            hint="Save the input in a file: its encoding is found then.",
        ) from error


def _chunks(items: Iterable[Item]) -> Iterator[Sequence[Item]]:
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, _AT_A_TIME)):
        yield chunk
