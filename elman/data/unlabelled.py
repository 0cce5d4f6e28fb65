"""Texts to be labelled, out of any file: the column that was trained on, or plain lines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice

from elman.data.columns import called, guess_text, named_column, refuse_twice
from elman.data.examples import text_of
from elman.data.rows import Asked, Rows
from elman.data.tables import read_rows
from elman.errors import DataError

_SAMPLE = 1000  # rows by which a column is guessed
_OWN_COLUMNS = ("lines", "fasttext", "conll", "folder", "file per class")
"""Formats whose text is called `text`, whatever the column of another file was."""


def read_texts(
    path: str | os.PathLike[str],
    *,
    text: str | None = None,
    trained: str | None = None,
    asked: Asked | None = None,
) -> Iterator[str]:
    """The texts in `path`, read in a stream.

    A file that is called a table (`endings.TABLE_ENDINGS`), Parquet, Arrow and JSON are read as
    such; anything else, standard input too, is a table if its first row has the wanted column, and
    plain lines if not.

    Args:
        path: a file, a folder, or "-" for standard input.
        text: the column that the user names; without a format that has it, it is an error.
        trained: the column that the model was trained on; used if the user names none. A file of
            one column needs no name.
        asked: how to read it.

    Raises:
        DataError: the file cannot be read, or has neither of the columns; while iterating: a bad
            row.
    """
    wanted = trained if text is None else text
    given = asked or Asked()
    rows = read_rows(
        path,
        asked=Asked(
            **{
                **given.__dict__,
                "columns": () if wanted is None else (wanted,),
                "lines": text is None and given.format is None,
            }
        ),
    )
    column = _column(rows, text, trained)
    for row in rows:
        yield text_of(row, column)


def _column(rows: Rows, text: str | None, trained: str | None) -> str:
    columns, where = rows.columns, str(rows.facts["path"])
    if text is not None:
        found = named_column(text, columns, "the text", where)
    elif trained is not None and (same := called(trained, columns)) is not None:
        found = same
    elif len(columns) == 1:
        return columns[0]
    elif rows.facts["format"] in _OWN_COLUMNS:
        return "text"
    elif trained is None:
        sample = list(islice(rows, _SAMPLE))
        found = guess_text(sample, columns, None) or columns[0]
    else:
        raise DataError(
            f'no column "{trained}", which the run was trained on.',
            where=where,
            hint=f"Name the column of the texts (--text); there are: {', '.join(columns)}.",
        )
    refuse_twice(found, rows.facts.get("columns_twice", []), where)
    return found
