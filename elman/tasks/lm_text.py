"""Tokens to text as they come: pieces that together are the text."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence

from elman.data import Tokeniser

_REACH = 8  # tokens that decide how the next one is written
_HELD = 8  # tokens of which a character may consist, and more


class Written:
    """A text that grows token by token; only its end is kept, however long it becomes.

    Args:
        tokeniser: of the tokens.
        ids: what stands before the text.
    """

    def __init__(self, tokeniser: Tokeniser, ids: Sequence[int] = ()) -> None:
        self.tokeniser = tokeniser
        self._ids = list(ids[-_REACH:])
        self._held: list[int] = []  # tokens whose text is not known yet

    def piece(self, token: int) -> str:
        """What a token would add to the text; bytes that are no whole character yet add nothing."""
        if self.tokeniser.level == "char":  # one token, one character, whatever came before
            return self.tokeniser.decode([token])
        before = self._ids[-_REACH - len(self._held) :]
        old = self.tokeniser.decode(before[: len(before) - len(self._held)])
        new = self.tokeniser.decode([*before, token])
        added = new[len(old) :] if new.startswith(old) else self.tokeniser.decode([token])
        open_ = added.endswith("\ufffd") and token != self.tokeniser.unknown_id
        return "" if open_ and len(self._held) < _HELD else added

    def outcomes(self, token: int) -> Iterator[str]:
        """What a token whose piece is empty may have added when its character is whole."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            whole = decoder.decode(self.tokeniser.utf8([*self._held, token]))
        except UnicodeDecodeError:
            return
        first = decoder.getstate()[0]
        yield from (whole + char for char in characters(first)) if first else (whole,)

    def add(self, token: int) -> str:
        """Adds a token and gives what it added."""
        added = self.piece(token)
        self._ids.append(token)
        if added:
            self._held = []
        else:
            self._held.append(token)
        del self._ids[: -_REACH - _HELD]
        return added


def characters(first: bytes) -> Iterator[str]:
    """All characters whose UTF-8 begins with these bytes, an unfinished sequence.

    Those from U+40000 to U+DFFFF are left out: Unicode has assigned none.
    """
    size = 2 if first[0] < 0xE0 else 3 if first[0] < 0xF0 else 4
    code = first[0] & (0x7F >> size)
    for byte in first[1:]:
        code = code << 6 | byte & 0x3F
    missing = 6 * (size - len(first))
    least = {2: 0x80, 3: 0x800, 4: 0x10000}[size]
    for number in range(max(code << missing, least), min((code + 1) << missing, 0x110000)):
        if not (0xD800 <= number < 0xE000 or 0x40000 <= number < 0xE0000):
            yield chr(number)
