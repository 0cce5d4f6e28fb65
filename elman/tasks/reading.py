"""How a trained task reads other files: as it read the one that it was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from typing import Any, TypeVar

from pydantic import BaseModel

from elman.data import Asked
from elman.data.unlabelled import read_texts
from elman.errors import ConfigError
from elman.tasks.fitted import Fitted
from elman.tasks.settings import checked, merged, nested
from elman.tasks.texts import LabelledTexts, read_labelled

Path = str | PathLike[str]
Config = TypeVar("Config", bound=BaseModel)

# These say what the network was given, so that another value would be another model.
_OF_THE_MODEL = ("tokeniser", "max_tokens", "head_tail", "several_labels")


def changed(config: Config, settings: Mapping[str, Any] | None, *, trained: bool) -> Config:
    """A task's settings with others of how files are read on top.

    Args:
        config: the task's settings.
        settings: `data.*` settings, nested or dotted.
        trained: whether there is a model, which what it is given has to fit.

    Raises:
        ConfigError: an unknown name, an impossible value, or one that only training can change.
    """
    given = nested(settings or {})
    other = next((name for name in given if name != "data"), None)
    if other is not None:
        raise ConfigError(f'got the section "{other}", wanted settings of the data.', where=other)
    named = given.get("data") or {}
    found = checked(type(config), merged(config.model_dump(exclude_unset=True), {"data": named}))
    fixed = next((name for name in _OF_THE_MODEL if name in named), None) if trained else None
    if fixed is not None:
        raise ConfigError(
            "the model was trained with its own value.",
            where=f"data.{fixed}",
            hint="Leave it out, or train another model.",
        )
    return found


def labelled(
    fitted: Fitted,
    data: Path,
    named: Mapping[str, str | None],
    settings: Mapping[str, Any] | None = None,
) -> LabelledTexts:
    """The labelled texts in `data`; `named` are columns that the user names.

    Raises:
        DataError: the file or a row cannot be used. ConfigError: a setting cannot.
    """
    config = changed(fitted.config, settings, trained=True).data
    columns = {name: column for name, column in named.items() if column}
    config = config.model_copy(update=columns)
    return read_labelled(data, config, columns=fitted.columns, several=fitted.several)


def texts_in(
    fitted: Fitted,
    data: Path,
    text: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Iterator[str]:
    """The texts in `data`, read in a stream; `text` is a column that the user names.

    The format is found in each file, whatever that of the training file was.

    Raises:
        DataError: the file or a row cannot be used. ConfigError: a setting cannot.
    """
    config = changed(fitted.config, settings, trained=True).data
    named = nested(settings or {}).get("data") or {}
    asked = Asked(
        named.get("format"),
        config.delimiter,
        config.quoting,
        config.header,
        config.encoding,
        config.encoding_errors,
    )
    column = text or named.get("text")
    return read_texts(data, text=column, trained=fitted.columns.get("text"), asked=asked)
