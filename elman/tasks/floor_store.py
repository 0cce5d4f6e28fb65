"""A floor's two files: NAME.json (names, settings, units) and NAME.safetensors (numbers)."""

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


def save(folder: Path, name: str, document: dict[str, Any], arrays: Arrays) -> list[str]:
    """Writes both files, the JSON, which holds the other's checksum, last; gives their names.

    Raises:
        ElmanError: a file cannot be written.
    """
    from safetensors.numpy import save as pack

    content = pack({key: np.ascontiguousarray(one) for key, one in arrays.items()})
    files.write_bytes(folder / f"{name}.safetensors", content)
    facts = {"format": FORMAT, "sha256": hashlib.sha256(content).hexdigest()}
    files.write_json(folder / f"{name}.json", facts | document)
    return [f"{name}.json", f"{name}.safetensors"]


def load(folder: Path, name: str) -> tuple[dict[str, Any], Arrays]:
    """What `save` was given.

    Raises:
        RunError: a file is missing, damaged or of another version.
    """
    path = folder / f"{name}.json"
    document = files.read_json(path)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, dict) else None
        raise RunError(f"format {found!r}; this elman reads format {FORMAT}.", where=str(path))
    return document, _unpack(folder / f"{name}.safetensors", document.get("sha256"))


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
