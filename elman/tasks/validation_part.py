"""What a run validates on, as the setting that stands in its config.yaml."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from typing import Any

from elman.errors import RunError
from elman.tasks import run
from elman.tasks.lm_config import LmConfig
from elman.tasks.texts import LabelledTexts


def share_or_file(value: str | PathLike[str] | float) -> str | float:
    """`"0.1"` is a share of the training data, unless there is a file of that name."""
    if isinstance(value, int | float):
        return float(value)
    path = os.fspath(value)
    if Path(path).exists():
        return path
    try:
        return float(path)
    except ValueError:
        return path


def as_setting(value: str | PathLike[str] | float | LabelledTexts | None) -> str | float | None:
    """The validation part in a form that config.yaml can hold: a share or a file.

    None for nothing, and for some rows of a file, which have no name.
    """
    if value is None:
        return None
    if isinstance(value, LabelledTexts):
        path = value.examples.facts.get("path")
        return str(path) if path is not None and value.rows is None else None
    return share_or_file(value)


def same_part(folder: Path, begun: Any, named: str | float | None) -> None:
    """Checks that a run is resumed with the validation part that it was begun with.

    Args:
        folder: the run.
        begun: the setting in its config.yaml.
        named: what is asked for now; None takes the run's own.

    Raises:
        RunError: it is another one.
    """
    if named is None or begun is None:
        return
    before = share_or_file(begun)
    if isinstance(before, str) and isinstance(named, str):
        same = os.path.realpath(before) == os.path.realpath(named)
    else:
        same = before == named
    if not same:
        raise RunError(
            f"the run was begun with --valid {_shown(before)}, not {_shown(named)}.",
            where=str(folder),
            hint="Leave --valid out to go on, or begin a new run with another --out.",
        )


def own_part(
    folder: Path | None, config: LmConfig, named: str | PathLike[str] | float | None
) -> str | float:
    """What a language model validates on: what is named, else the resumed run's own, else as set.

    Args:
        folder: the run that is resumed; None for a new one.
        config: the settings.
        named: a share or a file; None where nothing is named.

    Raises:
        RunError: the run was begun with another one.
    """
    part = as_setting(named)
    path = None if folder is None else folder / "config.yaml"
    if folder is None or path is None or not path.exists():
        return config.valid if part is None else part
    begun = run.read_yaml(path).get("valid", config.valid)
    if part is None and "valid" in config.model_fields_set:
        part = share_or_file(config.valid)
    same_part(folder, begun, part)
    return begun


def origin(part: str | PathLike[str] | float) -> dict[str, Any]:
    """What `result.json` says of a part of a text: its own file, or its share of the end."""
    found = share_or_file(part)
    return {"path": found} if isinstance(found, str) else {"share": found}


def _shown(part: str | float) -> str:
    return f'"{part}"' if isinstance(part, str) else f"{part:g}"
