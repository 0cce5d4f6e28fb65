"""The run directory: everything about a trained model, and no pickle in it.

    config.yaml         every setting, re-runnable          model.safetensors   the weights
    tokenizer.json      text -> numbers                     metrics.jsonl       one line an event
    result.json         measures, floor, fingerprints       environment.json    what it ran on
    manifest.json       the checksums of result.json and of what a model is loaded from
    checkpoints/        last and best, to resume            report.html, card.md, pictures/

Loading checks the version and the checksums first, so that a damaged file is a sentence and
never a wrong prediction. No code from the directory is run.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

import elman
from elman.errors import ConfigError, RunError, did_you_mean
from elman.files import explain, read_json, sha256, write_json, write_text
from elman.tasks.run_command import words

FORMAT = 1
MANIFEST = "manifest.json"
RESULT = "result.json"
WEIGHTS = "model.safetensors"
SHOTS = "shots.jsonl"
"""The measurements of a learning curve, one line a training; its folder holds no model."""
_PACKAGES = ("torch", "numpy", "tokenizers", "polars", "scikit-learn", "lightning-fabric")


def now() -> str:
    """The present time in UTC, ISO 8601."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()


def environment() -> dict[str, Any]:
    """What the run ran on: versions, processor, threads."""
    import torch

    versions: dict[str, str] = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "elman": elman.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "packages": versions,
        "command": words(),
        "created": now(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def holds_run(folder: Path) -> bool:
    """Whether the folder has a run in it, finished or not."""
    return (folder / "config.yaml").exists() or (folder / MANIFEST).exists()


def create(folder: Path) -> None:
    """Makes the folder of a new run and proves that it can be written.

    Raises:
        RunError: there is a run in it already, it is a file, or it cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f'"{folder}" is a file.', hint="Name a folder with --out.")
    if holds_run(folder):
        raise RunError(
            f'"{folder}" already holds a run.',
            hint="Continue it with --resume, or name another folder with --out.",
        )
    write_json(folder / "environment.json", environment())


def free_name(folder: Path) -> Path:
    """`folder`, or `folder-2`, `folder-3` ... when there is a run in it already."""
    number, candidate = 1, folder
    while holds_run(candidate):
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate


def has_config(folder: Path) -> bool:
    """Whether a run has settings already; what resumes it must not change them unchecked."""
    return (folder / "config.yaml").exists()


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Writes `config.yaml`: every setting, so that `elman train ... --config` repeats the run."""
    head = f"# elman {elman.__version__}: every setting of this run. Repeat it with --config.\n"
    body = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
    write_text(folder / "config.yaml", head + body)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        RunError: missing, not UTF-8, not YAML or not a mapping.
    """
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(explain(error, path, "read").message) from error
    except UnicodeDecodeError as error:
        raise RunError(f"not UTF-8 at byte {error.start}.", where=str(path)) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise RunError(
            f"not YAML: {getattr(error, 'problem', None) or error}.", where=place
        ) from error
    if not isinstance(value, dict):
        kind = type(value).__name__
        raise RunError(f"got a {kind}, wanted settings as `name: value`.", where=str(path))
    return {str(key): item for key, item in value.items()}


def seal(folder: Path, files: list[str]) -> None:
    """Writes the manifest with the checksums of `files` and of result.json, if it is there.

    A run without a manifest is unfinished.
    """
    files = [*files, RESULT] if (folder / RESULT).exists() else files
    write_json(
        folder / MANIFEST,
        {
            "format": FORMAT,
            "elman": elman.__version__,
            "files": {name: sha256(folder / name) for name in files},
        },
    )


def verify(folder: Path) -> None:
    """Checks that a finished run is there and undamaged.

    Raises:
        RunError: no such folder, not a run, unfinished, another format, a file missing or altered.
    """
    if not folder.is_dir():
        raise RunError(f'there is no run directory "{folder}".', hint=_nearby(folder))
    if not holds_run(folder):
        raise RunError(
            f'"{folder}" is not a run directory: it has no config.yaml.',
            hint="Name a folder that `elman train` wrote.",
        )
    if not (folder / MANIFEST).exists():
        if (folder / SHOTS).exists():
            raise _no_model(folder, "learning curve")
        raise RunError(
            f'the run in "{folder}" is not finished.',
            hint="Finish it with `elman train ... --resume`.",
        )
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise RunError("the manifest is damaged.", where=str(folder / MANIFEST), hint=_RESTORE)
    if manifest.get("format") != FORMAT:
        raise RunError(
            f"got run format {manifest.get('format')!r} written by elman "
            f"{manifest.get('elman')}, wanted format {FORMAT}.",
            where=str(folder / MANIFEST),
            hint="Use the elman version that wrote the run, or train again.",
        )
    for name, digest in manifest["files"].items():
        _verify_file(folder / name, digest)
    if WEIGHTS not in manifest["files"]:
        kind = "learning curve" if (folder / SHOTS).exists() else "cross-validation"
        raise _no_model(folder, kind)


def _no_model(folder: Path, kind: str) -> RunError:
    option = "--shots" if kind == "learning curve" else "--folds"
    return RunError(
        f'"{folder}" holds a {kind} and no model.',
        hint=f"Train one with `elman train classify` without {option}.",
    )


def verify_file(folder: Path, name: str) -> None:
    """Checks one file of a run, if the run is finished and sealed it.

    Raises:
        RunError: the file is missing or altered, or the manifest is damaged.
    """
    if (folder / MANIFEST).exists():
        manifest = read_json(folder / MANIFEST)
        files = manifest.get("files") if isinstance(manifest, dict) else None
        if not isinstance(files, dict):
            raise RunError("the manifest is damaged.", where=str(folder / MANIFEST), hint=_RESTORE)
        if name in files:
            _verify_file(folder / name, files[name])


def verify_language_model(folder: Path) -> None:
    """Checks that a finished, undamaged run of a language model is there.

    Raises:
        ConfigError: the run is of another task. RunError: as `verify`.
    """
    verify(folder)
    name = read_yaml(folder / "config.yaml").get("task")
    if name != "lm":
        raise ConfigError(
            f'the run is of the task "{name}", wanted a language model.',
            where=str(folder),
            hint="Train one with `elman train lm`.",
        )


_RESTORE = "Restore the file from a copy, or train again."


def _verify_file(path: Path, digest: str) -> None:
    if not path.is_file():
        raise RunError("the file is missing from the run.", where=str(path), hint=_RESTORE)
    try:
        found = sha256(path)
    except OSError as error:
        raise RunError(explain(error, path, "read").message) from error
    if found != digest:
        raise RunError(
            f"the file is damaged: its checksum is {found[:12]}..., wanted {digest[:12]}....",
            where=str(path),
            hint=_RESTORE,
        )


def _nearby(folder: Path) -> str | None:
    parent = folder.parent
    if not parent.is_dir():
        return "Check the path."
    runs = [child.name for child in parent.iterdir() if child.is_dir() and holds_run(child)]
    return did_you_mean(folder.name, sorted(runs)) or "Check the path."
