"""Checkpoints on disk: safetensors and JSON with checksums, wholly there or not at all.

    checkpoints/last/       state.json and *.safetensors of the newest checkpoint
    checkpoints/previous/   the one before it, read when `last` is damaged or missing
    checkpoints/best/       step-<n>.safetensors: the best weights, one file for each step that
                            `last` or `previous` refers to; state.json says which is the newest

A checkpoint is written to a folder of another name and brought to the disk; then `last` becomes
`previous` and the new folder becomes `last`. Whenever the process dies, one of the two is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from elman.errors import RunError
from elman.files import explain, read_json, write_json

FORMAT = 1
FOLDER = "checkpoints"
LAST, PREVIOUS, BEST = "last", "previous", "best"
STATE = "state.json"


@dataclass
class Loaded:
    """A checkpoint as read: tensors by file stem, the plain values, and what to tell the user."""

    tensors: dict[str, dict[str, Tensor]]
    body: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def exist(root: Path) -> bool:
    """Whether there is any checkpoint, whole or not."""
    return (root / LAST).exists() or (root / PREVIOUS).exists()


def write(root: Path, tensors: dict[str, dict[str, Tensor]], body: dict[str, Any]) -> None:
    """Writes a checkpoint to `root`/last and moves the one that was there to `root`/previous.

    Raises:
        ElmanError: it cannot be written; `last` and `previous` are as they were.
    """
    new = root / f".new-{os.getpid()}"
    try:
        _clear(root)
        new.mkdir(parents=True)
        files = {
            f"{stem}.safetensors": _write(new / f"{stem}.safetensors", _packed(values))
            for stem, values in tensors.items()
        }
        body = {**body, "files": files}
        wrapped = {"format": FORMAT, "sha256": _digest(_canonical(body)), "body": body}
        _write(new / STATE, json.dumps(wrapped, ensure_ascii=False, allow_nan=True).encode())
        _sync_folder(new)
        if (root / LAST).exists():
            shutil.rmtree(root / PREVIOUS, ignore_errors=True)
            (root / LAST).replace(root / PREVIOUS)
        new.replace(root / LAST)
        _sync_folder(root)
    except OSError as error:
        raise explain(error, error.filename or root) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _clear(root: Path) -> None:
    """Removes what earlier, killed processes left half written."""
    for leftover in root.glob(".new-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    for leftover in (root / BEST).glob(".*.tmp-*"):
        leftover.unlink(missing_ok=True)


def _packed(values: dict[str, Tensor]) -> bytes:
    own = {}
    for name, tensor in values.items():
        tensor = tensor.detach().cpu().contiguous()
        # safetensors refuses tensors that share memory; a view does, with its base.
        whole = tensor.untyped_storage().nbytes() == tensor.nbytes
        own[name] = tensor if whole else tensor.clone()
    return to_bytes(own)


def _write(path: Path, content: bytes) -> dict[str, Any]:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return {"sha256": _digest(content), "bytes": len(content)}


def _sync_folder(path: Path) -> None:
    # Windows cannot open a folder; there the rename is as durable as it gets.
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _canonical(body: dict[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, ensure_ascii=False).encode()


def read(root: Path) -> Loaded | None:
    """The newest whole checkpoint, None when there has never been one.

    Raises:
        RunError: there are checkpoints but none can be read; says why for the newest.
    """
    faults: list[RunError] = []
    for name in (LAST, PREVIOUS):
        if not (root / name).exists():
            continue
        try:
            loaded = read_one(root / name)
        except RunError as error:
            faults.append(error)
            continue
        loaded.notes = [f"{fault} The checkpoint before it is used." for fault in faults]
        return loaded
    if faults:
        raise RunError(
            f"no checkpoint can be read: {faults[0]}",
            hint="Start the run again in another folder.",
        )
    return None


def read_one(folder: Path) -> Loaded:
    """The checkpoint in `folder`.

    Raises:
        RunError: a file is missing, truncated or altered, or it is of another version.
    """
    wrapped = read_json(folder / STATE)
    if not isinstance(wrapped, dict) or "format" not in wrapped:
        raise RunError("not a checkpoint's state.", where=str(folder / STATE))
    if wrapped["format"] != FORMAT:
        raise RunError(
            f"the checkpoint has format {wrapped['format']}, this version reads {FORMAT}.",
            where=str(folder / STATE),
            hint="Resume it with the version of elman that wrote it.",
        )
    body = wrapped.get("body")
    if not isinstance(body, dict) or _digest(_canonical(body)) != wrapped.get("sha256"):
        raise RunError("the content does not match its checksum.", where=str(folder / STATE))
    tensors = {
        Path(name).stem: _read_tensors(folder / name, facts)
        for name, facts in body["files"].items()
    }
    return Loaded(tensors, body)


def _read_tensors(path: Path, facts: dict[str, Any]) -> dict[str, Tensor]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunError(explain(error, path, "read").message) from error
    if len(content) != facts["bytes"]:
        raise RunError(
            f"the file has {len(content)} bytes, {facts['bytes']} were written.", where=str(path)
        )
    if _digest(content) != facts["sha256"]:
        raise RunError("the content does not match its checksum.", where=str(path))
    try:
        return from_bytes(content)
    except (SafetensorError, ValueError) as error:
        raise RunError(f"not a safetensors file: {error}.", where=str(path)) from error


def write_best(
    root: Path, step: int, weights: dict[str, Tensor], facts: dict[str, Any]
) -> dict[str, Any]:
    """Writes the best weights; returns the entry that a checkpoint refers to them by.

    Raises:
        ElmanError: they cannot be written.
    """
    name = f"step-{step}.safetensors"
    folder = root / BEST
    temporary = folder / f".{name}.tmp-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = _write(temporary, _packed(weights))
        temporary.replace(folder / name)
    except OSError as error:
        raise explain(error, folder / name) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    entry = {"file": name, "step": step, **written}
    write_json(folder / STATE, {"format": FORMAT, **entry, **facts})
    return entry


def read_best(root: Path, entry: dict[str, Any]) -> dict[str, Tensor]:
    """The best weights that `entry` refers to.

    Raises:
        RunError: they are missing or damaged.
    """
    return _read_tensors(root / BEST / entry["file"], entry)


def prune_best(root: Path) -> None:
    """Removes best weights that neither checkpoint refers to."""
    referred: set[str] = set()
    for name in (LAST, PREVIOUS):
        if (root / name / STATE).exists():
            try:
                entry = read_json(root / name / STATE)["body"].get("best_file")
            except (RunError, KeyError, TypeError, AttributeError):
                return
            if entry:
                referred.add(entry["file"])
    for path in (root / BEST).glob("step-*.safetensors"):
        if path.name not in referred:
            with contextlib.suppress(OSError):
                path.unlink()
