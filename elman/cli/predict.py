"""`elman predict`: a run's predictions for texts, files or standard input."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter

import elman
from elman.cli.output import show, show_json
from elman.cli.settings import read_settings
from elman.data.endings import looks_like_a_path
from elman.data.source import near
from elman.errors import ConfigError, DataError

_AT_A_TIME = 512
Item = TypeVar("Item")


def predict(
    run: Annotated[Path, Parameter(help="The run directory.")],
    /,
    *inputs: Annotated[str, Parameter(help="A text, a file, or - for standard input.")],
    text: Annotated[
        str | None, Parameter(help="The column of the texts in a table; that of the training file.")
    ] = None,
    probabilities: Annotated[bool, Parameter(help="Show every class's probability.")] = False,
    json: Annotated[bool, Parameter(help="Print one JSON object a line.")] = False,
    overrides: Annotated[Mapping[str, str] | None, Parameter(parse=False)] = None,
) -> None:
    """Predict with a run: one line for each text, its class, the probability and the text.

    An INPUT that is a file is read as the training file was: tables (CSV, TSV, JSON, Parquet) row
    by row, by the column that was trained on; other files, and standard input, line by line,
    unless their first row has that column. Anything else is the text itself. A file that is
    written otherwise is read with --data.KEY VALUE, for instance --data.encoding cp1252.
    """
    from elman.tasks.reading import changed

    task = elman.load(run)
    if isinstance(task, elman.LanguageModel):
        raise ConfigError(
            "a language model predicts no classes.",
            hint=f"Let it write with `elman generate {run}`, or rate texts with `elman score`.",
        )
    if not inputs:
        raise DataError("there is nothing to predict.", hint="Give texts, a file, or - for stdin.")
    settings = read_settings(None, overrides or {})
    changed(task.config, settings, trained=True)  # a bad setting is one whatever is predicted
    some = False
    texts = itertools.chain.from_iterable(_texts(task, item, text, settings) for item in inputs)
    for block in _chunks(texts):
        some = True
        for prediction in task.predict(block):
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


def _texts(
    task: elman.Classifier, source: str, column: str | None, settings: Mapping[str, Any]
) -> Iterator[str]:
    if source == "-" or _is_file(source):
        yield from task.read(source, text=column, settings=settings)
    else:
        yield source


def _is_file(source: str) -> bool:
    """Whether an input is a file rather than a text.

    Raises:
        DataError: it is neither: a folder, or what is hardly anything but a file that is not there.
    """
    try:
        path = Path(source)
        if path.is_file():
            return True
        there, folder = path.exists(), path.is_dir()
    except (OSError, ValueError):
        # A text may be too long for a file name or hold a null character.
        return False
    meant = "If it is the text itself, give it on standard input (-)."
    if folder:
        raise DataError(
            f'"{source}" is a folder; a file or a text is wanted.',
            hint=f"Name a file in it. {meant}",
        )
    if there:
        raise DataError(
            f'"{source}" is not a plain file.', hint="Give its contents on standard input (-)."
        )
    if looks_like_a_path(source):
        raise DataError(f'there is no file "{source}".', hint=f"{near(source) or ''} {meant}")
    return False


def _chunks(items: Iterable[Item]) -> Iterator[Sequence[Item]]:
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, _AT_A_TIME)):
        yield chunk
