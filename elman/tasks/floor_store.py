"""The floor's two files: floor.json (names, settings, units) and floor.safetensors (numbers)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman import files
from elman.errors import RunError

FORMAT = 1
Arrays = dict[str, NDArray[Any]]


def save(folder: Path, document: dict[str, Any], arrays: Arrays) -> None:
    """Writes both files; the JSON, which holds the other's checksum, last.

    Raises:
        ElmanError: a file cannot be written.
    """
    from safetensors.numpy import save as pack

    content = pack({name: np.ascontiguousarray(one) for name, one in arrays.items()})
    files.write_bytes(folder / "floor.safetensors", content)
    facts = {"format": FORMAT, "sha256": hashlib.sha256(content).hexdigest()}
    files.write_json(folder / "floor.json", facts | document)


def load(folder: Path) -> tuple[dict[str, Any], Arrays]:
    """What `save` was given.

    Raises:
        RunError: a file is missing, damaged or of another version.
    """
    path = folder / "floor.json"
    document = files.read_json(path)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, dict) else None
        raise RunError(f"format {found!r}; this elman reads format {FORMAT}.", where=str(path))
    return document, _unpack(folder / "floor.safetensors", document.get("sha256"))


def _unpack(path: Path, checksum: object) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.numpy import load as unpack

    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunError(files.explain(error, path, "read").message) from error
    if hashlib.sha256(content).hexdigest() != checksum:
        hint = "Train again, or restore the file."
        raise RunError("the file is damaged: its checksum is another.", where=str(path), hint=hint)
    try:
        return unpack(content)
    except SafetensorError as error:
        raise RunError(f"not a safetensors file: {error}.", where=str(path)) from error
