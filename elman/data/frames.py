"""Reads Parquet and Arrow files with polars, in slices."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from elman.data.arrow_stream import batches
from elman.data.rows import Row, Rows
from elman.data.source import Source
from elman.errors import DataError

_SLICE = 20_000  # rows held at a time


@contextmanager
def _as_file(source: Source) -> Iterator[str]:
    """A path that polars can open: standard input and packed files are unpacked to a temporary."""
    if not source.standard_input and source.compression is None:
        yield source.path
        return
    folder = tempfile.mkdtemp(prefix="elman-")
    try:
        target = Path(folder) / "table"
        stream = source.open()
        with target.open("wb") as file:
            while block := stream.read(1 << 20):
                file.write(block)
        stream.close()
        yield os.fspath(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _sentences(source: Source, kind: str) -> Iterator[None]:
    """polars' errors, among them its panics, as one sentence."""
    try:
        yield
    except DataError:
        raise
    except BaseException as error:
        if not type(error).__module__.startswith(("polars", "pyo3")) and not isinstance(
            error, (OSError, ValueError)
        ):
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "it is damaged"
        raise DataError(
            f"not a readable {kind} file: {reason[:200]}.",
            where=source.name,
            hint="Write it again, or copy it again if it was cut short.",
        ) from None


def read_parquet(source: Source) -> Rows:
    """The rows of a Parquet file, read in slices.

    Raises:
        DataError: the file is damaged or cut short.
    """
    return _read(source, "parquet", "Parquet", _parquet_slices)


def read_arrow(source: Source) -> Rows:
    """The rows of an Arrow file (IPC file or stream format, as Hugging Face saves it).

    At least one of the file's own batches is held at a time.

    Raises:
        DataError: the file is damaged or cut short.
    """
    return _read(source, "arrow", "Arrow", _arrow_slices)


def _read(source: Source, name: str, kind: str, slices: Callable[[str], Iterator[Any]]) -> Rows:
    source.sample(8)  # finds the compression
    with _sentences(source, kind), _as_file(source) as path:
        first = next(slices(path), None)
    columns: list[str] = list(first.columns) if first is not None else []
    facts = {
        "path": source.path,
        "format": name,
        "compression": source.compression,
        "encoding": None,
        "delimiter": None,
        "quoting": None,
        "header": None,
        "columns": columns,
    }

    def start() -> Iterator[Row]:
        number = 0
        with _sentences(source, kind), _as_file(source) as path:
            for frame in slices(path):
                for fields in frame.iter_rows(named=True):
                    number += 1
                    yield Row(fields, f"{source.name}, row {number}")

    return Rows(facts, start)


def _parquet_slices(path: str) -> Iterator[Any]:
    import polars as pl

    yield from _scanned(pl.scan_parquet(path))


def _scanned(lazy: Any) -> Iterator[Any]:
    offset = 0
    while True:
        frame = lazy.slice(offset, _SLICE).collect()
        if not frame.height and offset:
            return
        yield frame
        if frame.height < _SLICE:
            return
        offset += _SLICE


def _arrow_slices(path: str) -> Iterator[Any]:
    import polars as pl

    with Path(path).open("rb") as file:
        is_file = file.read(6) == b"ARROW1"
    if is_file:
        yield from _scanned(pl.scan_ipc(path))
        return
    for batch in batches(path):
        frame = pl.read_ipc_stream(io.BytesIO(batch))
        yield from frame.iter_slices(_SLICE)
        if not frame.height:
            yield frame
