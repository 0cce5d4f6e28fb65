"""What a generated text must and must not hold, asked before each token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

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


@runtime_checkable
class Settling(Constraint, Protocol):
    """A rule that does not need all of a long text."""

    def shortened(self, text: str) -> tuple[Constraint, str]:
        """A rule and an end of the text that together allow what this one allows after `text`."""
        ...


@runtime_checkable
class Closing(Constraint, Protocol):
    """A rule that knows when all is said."""

    def complete(self, text: str) -> bool:
        """Whether the text ends here, whatever would follow."""
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
        tail = self._end(text) + piece
        return not any(string in tail for string in self.strings)

    def finished(self, text: str) -> bool:
        """Whether the text is free of them."""
        return not any(string in text for string in self.strings)

    def shortened(self, text: str) -> tuple[Forbidden, str]:
        """The rule itself, and what one of the strings may begin with."""
        return self, self._end(text)

    def _end(self, text: str) -> str:
        longest = max((len(string) for string in self.strings), default=0)
        return text[-(longest - 1) :] if longest > 1 else ""


_VERSES = r"[，。！？；]\n?|\n"
"""One mark, and the end of a line behind it: a verse of marks alone would be none."""
_SENTENCES = r"[。！？]\n?|\n"
"""What ends a sentence or a line: after three verses a fourth completes the couplet."""


@dataclass(frozen=True)
class LineStarts:
    """The first characters of the lines; `acrostic` makes it from a word.

    Attributes:
        starts: what each line begins with, in order; lines after the last are free.
        between: what parts two lines, a regular expression.
        closing: what ends the text when it comes after all of these lines, a regular expression;
            None: the model ends it.
    """

    starts: Sequence[str]
    between: str = "\n"
    closing: str | None = None

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

    def complete(self, text: str) -> bool:
        """Whether all lines have ended, and with them the text."""
        if self.closing is None or not regex.search(rf"(?:{self.closing})\Z", text):
            return False
        return len(regex.findall(self.between, text)) >= len(self.starts)

    def shortened(self, text: str) -> tuple[LineStarts, str]:
        """The rule for the last whole line and what comes after it, and these lines' beginnings.

        The last whole line stays, as more of what parts it from the next may follow.
        """
        known = self.between in ("\n", _VERSES) and self.closing in (None, "\n", _SENTENCES)
        if not known or not all(self.starts):
            return self, text  # who knows what such an expression looks at
        ends = [found.span() for found in regex.finditer(self.between, text)]
        if len(ends) >= len(self.starts):
            return replace(self, starts=()), text[-2:]  # as long as what closes it
        done = max(0, len(ends) - 1)
        starts = self.starts[done:]
        if not ends:
            return self, text[: len(starts[0]) + 1]
        begin = ends[-2][1] if done else 0
        stop, after = ends[-1]
        last = text[begin : min(stop, begin + len(starts[0]) + 1)]
        current = text[after : after + len(starts[1]) + 1]
        return replace(self, starts=starts), last + text[stop:after] + current


def acrostic(word: str) -> LineStarts:
    """Lines that begin with the characters of a word; the text ends with the last of them.

    In a Chinese poem a line of print often holds two verses, 床前明月光，疑是地上霜。 Both count,
    and the text ends with the sentence of the last.

    Raises:
        ConfigError: the word is empty.
    """
    if not word:
        raise ConfigError("got an empty acrostic, wanted some characters.", where="acrostic")
    if regex.search(r"\p{Han}", word):
        return LineStarts(word, _VERSES, _SENTENCES)
    return LineStarts(word, "\n", "\n")


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

    def following(self) -> Following:
        """The rules on a text that begins now."""
        return Following(self.rules)


class Following:
    """Rules on a text that grows: of a long text they keep what they need, mostly its end.

    A rule without `shortened`, as `Matching`, needs all of the text and takes longer and longer.
    """

    def __init__(self, rules: Iterable[Constraint]) -> None:
        self._rules = [(rule, "") for rule in rules]

    def __bool__(self) -> bool:
        return bool(self._rules)

    def allows(self, piece: str) -> bool:
        """Whether all rules allow the piece to follow."""
        return all(rule.allows(text, piece) for rule, text in self._rules)

    def finished(self) -> bool:
        """Whether all rules let the text end."""
        return all(rule.finished(text) for rule, text in self._rules)

    def complete(self) -> bool:
        """Whether a rule ends the text here, and all let it end."""
        ended = any(isinstance(rule, Closing) and rule.complete(text) for rule, text in self._rules)
        return ended and self.finished()

    def add(self, piece: str) -> None:
        """The piece belongs to the text now."""
        self._rules = [
            rule.shortened(text + piece) if isinstance(rule, Settling) else (rule, text + piece)
            for rule, text in self._rules
        ]
