"""Settings: defaults, then a preset, then a file, then what the user named; checked as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from elman.errors import ConfigError, did_you_mean

Nested = dict[str, Any]
Config = TypeVar("Config", bound=BaseModel)


def nested(dotted: Mapping[str, Any]) -> Nested:
    """`{"model.hidden": 64}` -> `{"model": {"hidden": 64}}`; nested mappings are kept.

    A `-` in a name is read as `_`.

    Raises:
        ConfigError: a name is used both as a section and as a setting.
    """
    result: Nested = {}
    for name, value in dotted.items():
        *sections, last = name.replace("-", "_").split(".")
        place = result
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise ConfigError(f'"{section}" is both a setting and a section.', where=name)
        if isinstance(value, Mapping):
            place[last] = merged(place.get(last) or {}, nested(value))
        else:
            place[last] = value
    return result


def merged(*layers: Mapping[str, Any]) -> Nested:
    """The layers laid over one another, the last one on top; sections are merged."""
    result: Nested = {}
    for layer in layers:
        for name, value in layer.items():
            below = result.get(name)
            if isinstance(value, Mapping) and isinstance(below, Mapping):
                result[name] = merged(below, value)
            else:
                result[name] = value
    return result


def checked(kind: type[Config], values: Mapping[str, Any], where: str | None = None) -> Config:
    """The settings as a checked value of `kind`.

    Raises:
        ConfigError: an unknown name (with the closest known one) or an impossible value; every
            mistake is named.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        problems = [_sentence(kind, detail) for detail in error.errors()]
        raise ConfigError(" ".join(problems), where=where) from error


def _sentence(kind: type[BaseModel], detail: Mapping[str, Any]) -> str:
    place = [str(part) for part in detail["loc"]]
    name = ".".join(place)
    if detail["type"] == "extra_forbidden":
        options = _names(kind, place[:-1])
        return f'there is no setting "{name}". {did_you_mean(place[-1], options)}'.strip()
    message = str(detail["msg"]).removeprefix("Value error, ")
    message = message.removeprefix("Input should be ").rstrip(".")
    if detail["type"] == "value_error":
        return f"{name}: {message}."
    return f"{name}: got {detail['input']!r}, wanted {message}."


def _names(kind: type[BaseModel], sections: Iterable[str]) -> list[str]:
    for section in sections:
        field = kind.model_fields.get(section)
        inner = _model_of(field.annotation) if field else None
        if inner is None:
            return []
        kind = inner
    return list(kind.model_fields)


def _model_of(annotation: Any) -> type[BaseModel] | None:
    if get_origin(annotation) in (Union, UnionType):
        found = [_model_of(part) for part in get_args(annotation)]
        return next((part for part in found if part), None)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def layered(
    kind: type[Config],
    presets: Mapping[str, Mapping[str, Any]],
    short: Mapping[str, str],
    preset: str,
    config: Config | Mapping[str, Any] | None,
    common: Mapping[str, Any],
) -> Config:
    """The settings of a preset with the user's laid over them.

    Args:
        kind: the settings' type; it has the fields `task` and `preset`.
        presets: dotted settings by the preset's name.
        short: the dotted name behind each short one.
        preset: a name in `presets`.
        config: whole settings, or a nested or dotted mapping of some.
        common: short names with values; entries that are None are left out.

    Raises:
        ConfigError: an unknown preset or setting, or an impossible value.
    """
    named: dict[str, Any] = {}
    for name, value in common.items():
        if name not in short:
            raise ConfigError(f'there is no setting "{name}".', hint=did_you_mean(name, short))
        if value is not None:
            named[short[name]] = value
    if isinstance(config, BaseModel):
        # What nobody set is left to the preset, and to decisions that depend on the data.
        given = config.model_dump(exclude_unset=True)
    else:
        given = nested(config or {})
    preset = str(given.get("preset", preset)) if preset == "default" else preset
    if preset not in presets:
        raise ConfigError(f'there is no preset "{preset}".', hint=did_you_mean(preset, presets))
    layers = (nested(presets[preset]), given, nested(named), {"preset": preset})
    return checked(kind, merged(*layers))
