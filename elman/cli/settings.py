"""Settings from a YAML file and from `--section.key VALUE`, before the task checks them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elman.errors import ConfigError

_NOTHING = ("null", "none", "~")


def read_settings(config: Path | None, overrides: Mapping[str, str]) -> dict[str, Any]:
    """The file's settings with the overrides on top, as `{"section": {...}, "section.key": ...}`.

    Raises:
        RunError: the file is missing, not UTF-8, not YAML or not a mapping.
        ConfigError: a value that begins like a list or a mapping is not one.
    """
    settings: dict[str, Any] = {}
    if config is not None:
        from elman.tasks.run import read_yaml

        settings = read_yaml(config)
    return {**settings, **{name: _value(name, text) for name, text in overrides.items()}}


def _value(name: str, text: str) -> Any:
    # Numbers and truth values stay words: whether `1` is a number or the name of a column is
    # known only where the setting is declared.
    if text.lower() in _NOTHING:
        return None
    if text[:1] not in ("[", "{"):
        return text
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(
            f"got {text!r}, which begins like a list or a mapping but is none.", where=name
        ) from error
