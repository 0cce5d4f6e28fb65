"""The errors that elman raises: each says what was got, what was wanted, where, and what to do.

Every error that a user can cause is an `ElmanError`; the command line prints it as one sentence
and ends with exit code 1. Anything else that escapes is a mistake of elman's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class ElmanError(Exception):
    """Base of all errors that a user can cause and mend.

    Args:
        message: what was got and what was wanted, one sentence.
        where: the place, as `file:line`, `file, row 3, column "text"` or a setting's dotted name.
        hint: what to do about it, one sentence.
    """

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.message = message
        self.where = where
        self.hint = hint
        place = f"{where}: " if where else ""
        advice = f" {hint}" if hint else ""
        super().__init__(f"{place}{message}{advice}")

    def __reduce__(self) -> tuple[object, ...]:
        # Worker processes send errors home; the default would pass the joined text as `message`.
        return _rebuild, (type(self), self.message, self.where, self.hint)


def _rebuild(
    kind: type[ElmanError], message: str, where: str | None, hint: str | None
) -> ElmanError:
    return kind(message, where=where, hint=hint)


class CellError(ElmanError):
    """A recurrence that is not written in the notation; `where` is its source line."""


class ShapeError(ElmanError, ValueError):
    """A tensor whose shape, dtype or lengths a layer cannot use."""


class DataError(ElmanError):
    """A file or a row of the user's that cannot be read as asked."""


class ConfigError(ElmanError, ValueError):
    """A setting that does not exist or has an impossible value."""


class RunError(ElmanError):
    """A run directory that is missing, damaged or of another version."""


class TrainingError(ElmanError):
    """Training could not go on, for instance because a loss was not finite."""


class MissingExtraError(ElmanError, ImportError):
    """An optional package is needed; `hint` names the extra that brings it."""


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """A sentence that offers the closest of `options`, or lists them all when none is close."""
    known = [str(option) for option in options]
    folded = {option.casefold(): option for option in known}
    close = get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.6)
    if close:
        return f'Did you mean "{folded[close[0]]}"?'
    return f"Known: {', '.join(known)}." if known else ""
