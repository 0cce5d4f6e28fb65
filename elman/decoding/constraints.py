"""What a generated text must and must not hold, asked before each token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import regex

from elman.errors import ConfigError


class Constraint(Protocol):
    """A rule on text that grows piece by piece."""

    def allows(self, text: str, piece: str) -> bool:
        """Whether `piece` may follow `text`."""
        ...

    def finished(self, text: str) -> bool:
        """Whether the text may end here."""
        ...


@dataclass(frozen=True)
class Forbidden:
    """Strings that must not occur.

    Raises:
        ConfigError: one of them is empty, and so occurs in every text.
    """

    strings: tuple[str, ...]

    def __post_init__(self) -> None:
        if "" in self.strings:
            raise ConfigError("got an empty string to forbid, wanted some text.", where="forbid")

    def allows(self, text: str, piece: str) -> bool:
        """Whether none of the strings would come to stand at the end."""
        longest = max((len(string) for string in self.strings), default=0)
        tail = text[-longest:] + piece
        return not any(string in tail for string in self.strings)

    def finished(self, text: str) -> bool:
        """Whether the text is free of them."""
        return not any(string in text for string in self.strings)


@dataclass(frozen=True)
class LineStarts:
    """The first characters of the lines; `acrostic` makes it from a word.

    Attributes:
        starts: what each line begins with, in order; lines after the last are free.
        between: what parts two lines, a regular expression.
    """

    starts: Sequence[str]
    between: str = "\n"

    def allows(self, text: str, piece: str) -> bool:
        """Whether every line of the longer text begins as it shall, as far as it goes."""
        lines = regex.split(self.between, text + piece)
        for line, start in zip(lines, self.starts, strict=False):
            length = min(len(line), len(start))
            if line[:length] != start[:length]:
                return False
        # A line that has ended must hold its whole beginning.
        complete = zip(lines[:-1], self.starts, strict=False)
        return all(line.startswith(start) for line, start in complete)

    def finished(self, text: str) -> bool:
        """Whether all lines are there and begin as they shall."""
        lines = regex.split(self.between, text)
        while lines and not lines[-1]:
            lines.pop()
        pairs = zip(lines, self.starts, strict=False)
        return len(lines) >= len(self.starts) and all(line.startswith(s) for line, s in pairs)


def acrostic(word: str) -> LineStarts:
    """Lines that begin with the characters of a word.

    In a Chinese poem a line of print often holds two verses, 床前明月光，疑是地上霜。 Both count.
    """
    chinese = regex.search(r"\p{Han}", word) is not None
    return LineStarts(word, r"[，。！？；\n]+" if chinese else "\n")


@dataclass(frozen=True)
class Matching:
    """A regular expression that the whole text must match.

    Raises:
        ConfigError: it is no regular expression.
    """

    pattern: str
    _compiled: regex.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "_compiled", regex.compile(self.pattern))
        except regex.error as error:
            raise ConfigError(f"not a regular expression: {error}.", where=self.pattern) from None

    def allows(self, text: str, piece: str) -> bool:
        """Whether the longer text can still be made to match."""
        return self._compiled.fullmatch(text + piece, partial=True) is not None

    def finished(self, text: str) -> bool:
        """Whether the text matches as it is."""
        return self._compiled.fullmatch(text) is not None


class Constraints:
    """Several rules at once."""

    def __init__(self, rules: Iterable[Constraint] = ()) -> None:
        self.rules = tuple(rules)

    def __bool__(self) -> bool:
        return bool(self.rules)

    def allows(self, text: str, piece: str) -> bool:
        """Whether all rules allow the piece."""
        return all(rule.allows(text, piece) for rule in self.rules)

    def finished(self, text: str) -> bool:
        """Whether all rules let the text end."""
        return all(rule.finished(text) for rule in self.rules)
