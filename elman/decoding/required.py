"""Strings that a generated text must hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from elman.decoding.sampling import Scores
from elman.errors import ConfigError, DataError


class Required:
    """Writes each string where the model finds it likely, and in time at the latest.

    A string begins where the probability of its first token is above the square of the share of
    the room that is left: only where it comes almost by itself in the beginning, at any place when
    the room is just enough. A string that the text holds already is not written again.

    Args:
        strings: each with its tokens.
        length: tokens of the whole text.

    Raises:
        ConfigError: together they are longer than the text, or one is empty.
    """

    def __init__(self, strings: Mapping[str, Sequence[int]], length: int) -> None:
        needed = sum(map(len, strings.values()))
        if not all(strings) or not all(strings.values()):
            raise ConfigError("got an empty string to require, wanted some text.", where="require")
        if needed > length:
            raise ConfigError(
                f"the strings that the text must hold take {needed} tokens, more than its length "
                f"of {length}.",
                where="require",
            )
        self._open = {text: list(tokens) for text, tokens in strings.items()}
        self._writing: list[int] = []
        self._begun: dict[str, list[int]] = {}  # the string of `_writing`
        self._length, self._room = length, length - needed

    def missing(self, text: str) -> bool:
        """Whether the text may not end yet; an end of the text will do that holds what is new."""
        return any(string not in text for string in (*self._open, *self._begun))

    def forced(
        self, text: str, left: int, logs: Scores, allowed: Callable[[str | int], bool]
    ) -> int | None:
        """The token that has to come now, if one has to.

        Args:
            text: what is written so far, or its end: all that has come since the last call, and as
                much before it as a string is long.
            left: tokens that may still be written.
            logs: log-probabilities of the next token.
            allowed: whether a string or a token may come, for other reasons.

        Raises:
            DataError: a string has to come now, and may not.
        """
        self._open = {string: ids for string, ids in self._open.items() if string not in text}
        if self._writing and allowed(self._writing[0]):
            return self._writing.pop(0)
        self._open |= self._begun  # it is written now, or cannot go on here
        self._begun, self._writing = {}, []
        missing = {string: ids for string, ids in self._open.items() if string not in text}
        if not missing:
            return None
        room = left - sum(map(len, missing.values()))
        string = max(missing, key=lambda string: logs[missing[string][0]])
        first, *rest = missing[string]
        share = max(0, room) / max(1, self._room)
        fits = allowed(first) and allowed(string)
        if room > 0 and (math.exp(logs[first]) < share * share or not fits):
            return None
        if not fits:
            raise DataError(
                f"{string!r} is required and has to begin now, and the constraints exclude it "
                f"after {text[-40:]!r}.",
                hint="Loosen --forbid, --matching or --acrostic. Strings are written in time for "
                "--length: let it be that of the text that an expression describes.",
            )
        self._begun = {string: self._open.pop(string)}
        self._writing = rest
        return first
