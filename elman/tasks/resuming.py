"""The settings that a run of the classifier is continued with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elman.errors import ConfigError, RunError
from elman.tasks import run
from elman.tasks.classify_config import ClassifyConfig, configured
from elman.tasks.settings import merged, nested
from elman.tasks.validation_part import as_setting, same_part, share_or_file

Given = tuple[str, ClassifyConfig | Mapping[str, Any] | None, Mapping[str, Any]]
"""Preset, settings over it, and short names, as a classifier was made with."""


def resumed(folder: Path, given: Given, valid: Any) -> ClassifyConfig | None:
    """The settings of the run in `folder` with those given now laid over them.

    Args:
        folder: the run.
        given: what the classifier was made with.
        valid: what to validate on, as for `Classifier.fit`; None takes the run's own.

    Returns:
        None where the run was stopped before it wrote its settings down.

    Raises:
        RunError: there is no run, or it was begun with another validation part.
        ConfigError: it was begun with another preset, or a setting is impossible.
    """
    path = folder / "config.yaml"
    if not path.exists():
        if (folder / "environment.json").exists():
            return None
        raise RunError(
            f'there is no run to resume in "{folder}".', hint="Train without --resume first."
        )
    saved = run.read_yaml(path)
    preset, config, common = given
    if preset not in ("default", saved.get("preset")):
        raise ConfigError(f'the run was begun with the preset "{saved.get("preset")}".')
    if isinstance(config, ClassifyConfig):
        named = config.model_dump(exclude_unset=True)
    else:
        named = nested(config or {})
    part = as_setting(valid)
    if part is None and named.get("valid") is not None:
        part = share_or_file(named["valid"])
    same_part(folder, saved.get("valid"), part)
    named.pop("valid", None)  # the same, perhaps by another name
    return configured("default", merged(saved, named), common)
