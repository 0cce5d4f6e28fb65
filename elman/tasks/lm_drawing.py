"""Which token comes next: what is wanted of a text, and the draws that keep to it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np

from elman.data import Tokeniser
from elman.decoding import (
    Constraints,
    Required,
    Sampling,
    Scores,
    choose,
    filtered,
    log_softmax,
    penalised,
)
from elman.errors import ConfigError, DataError
from elman.tasks.lm_text import Written


@dataclass(frozen=True)
class Wanted:
    """What is to be generated.

    Attributes:
        length: tokens at most.
        sampling: how they are drawn.
        constraints: what the text must and must not hold; they do not see the prompt.
        stops: strings that end the text and do not belong to it.
        ends: whether the model may end the text itself.
        seed: of the draws.
        required: strings that the text holds.

    Raises:
        ConfigError: an impossible value.
    """

    length: int = 500
    sampling: Sampling = field(default_factory=Sampling)
    constraints: Constraints = field(default_factory=Constraints)
    stops: tuple[str, ...] = ()
    ends: bool = True
    seed: int = 1
    required: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_length(self.length)
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"got {self.seed}, wanted 0 to 2**63 - 1.", where="seed")
        if "" in self.stops:
            raise ConfigError("got an empty string to stop at, wanted some text.", where="stop")


def check_length(length: int) -> None:
    """Refuses a length that no text has.

    Raises:
        ConfigError: it is below 0.
    """
    if length < 0:
        raise ConfigError(f"got {length} tokens, wanted 0 or more.", where="length")


_SHOWN = 40  # characters of the text that an error shows


class Drawing:
    """Draws the tokens of one text, one after the other.

    Args:
        wanted: what is wanted.
        tokeniser: of the model.
        prompt: tokens before the text; they count for the penalty on repetition.
        boundary: the token that ends a text.
        random: what draws; by default a new generator of the seed.

    Attributes:
        end: the text's last characters, as many as anything here looks at; the last token's
            always.

    Raises:
        ConfigError: a required string cannot be written.
    """

    def __init__(
        self,
        wanted: Wanted,
        tokeniser: Tokeniser,
        prompt: list[int],
        boundary: int,
        random: np.random.Generator | None = None,
    ) -> None:
        self.end = ""
        self._written = Written(tokeniser, prompt)
        self._wanted, self._boundary, self._unknown = wanted, boundary, tokeniser.unknown_id
        self._random = random or np.random.default_rng(wanted.seed)
        self._required = _required(wanted, tokeniser)
        self._rules = wanted.constraints.following()
        self._recent = deque(prompt, wanted.sampling.window)
        self._reach = max(_SHOWN, *map(len, wanted.stops), *map(len, wanted.required), 0)
        self._left = wanted.length
        self._open: dict[int, bool] = {}  # tokens that leave a character open: whether they fit

    def next(self, scores: Scores) -> tuple[int, float]:
        """The token that comes after these scores, and its log-probability before any filter.

        Raises:
            DataError: the constraints leave no token.
        """
        logs = log_softmax(scores)
        token = self._required.forced(self.end, self._left, logs, self._fits)
        self._left -= 1
        if token is None:
            token = self._drawn(scores)
        return token, float(logs[token])

    def add(self, token: int) -> str:
        """Writes the token; what it adds to the text."""
        piece = self._written.add(token)
        self._recent.append(token)
        self._rules.add(piece)
        self._open = {}
        self.end = (self.end + piece)[-self._reach - len(piece) :]
        return piece

    def complete(self) -> bool:
        """Whether the constraints end the text here, and nothing is missing."""
        return self._rules.complete() and not self._required.missing(self.end)

    def _fits(self, what: str | int) -> bool:
        """Whether a string or a token may follow; none that stops before all is written."""
        stops, text = self._wanted.stops, self.end
        if not self._rules and not stops:
            return True
        piece = what if isinstance(what, str) else self._written.piece(what)
        if stops and self._required.missing(text + piece):
            tail = text[-max(map(len, stops)) :] + piece
            if any(stop in tail for stop in stops):
                return False
        if not piece and isinstance(what, int) and self._rules:
            return self._may_become(what)
        return self._rules.allows(piece)

    def _may_become(self, token: int) -> bool:
        """Whether a character that begins with the bytes of the token may follow."""
        if token not in self._open:
            self._open[token] = any(map(self._rules.allows, self._written.outcomes(token)))
        return self._open[token]

    def _may_end(self) -> bool:
        return self._wanted.ends and not self._required.missing(self.end) and self._rules.finished()

    def _drawn(self, scores: Scores) -> int:
        """A token that the settings and the constraints allow."""
        left = scores.copy()
        left[self._unknown] = -np.inf
        if not self._may_end():
            left[self._boundary] = -np.inf
        sampling = self._wanted.sampling
        if sampling.temperature == 0:
            return self._best(penalised(left, sampling.repetition_penalty, self._recent))
        logs = filtered(left, sampling, self._recent)
        while True:
            token = choose(logs, self._random)
            if token == self._boundary or self._fits(token):
                return token
            # Drawn again among the rest: together the draws follow the restricted distribution.
            left[token] = logs[token] = -np.inf
            if np.isneginf(logs).all():
                if np.isneginf(left).all():
                    raise self._nothing_fits()
                logs = filtered(left, replace(sampling, top_k=0, top_p=1, min_p=0), self._recent)

    def _best(self, scores: Scores) -> int:
        """The best token that the constraints allow."""
        best = int(scores.argmax())
        if best == self._boundary or self._fits(best):
            return best
        for token in np.argsort(-scores, kind="stable").tolist():
            if np.isneginf(scores[token]):
                break
            if token == self._boundary or self._fits(token):
                return token
        raise self._nothing_fits()

    def _nothing_fits(self) -> DataError:
        return DataError(
            f"nothing may follow {self.end[-_SHOWN:]!r}: the constraints exclude every token.",
            hint="Loosen the expression to match (--matching), the forbidden strings (--forbid), "
            "the required ones (--require) or the beginnings of the lines (--acrostic).",
        )


def _required(wanted: Wanted, tokeniser: Tokeniser) -> Required:
    strings = {text: tokeniser.encode(text) for text in wanted.required}
    for text, tokens in strings.items():
        written = Written(tokeniser)
        said = "".join([written.add(token) for token in tokens])
        if tokeniser.unknown_id in tokens or text not in said:
            raise ConfigError(
                f"the model cannot write {text!r}: its training text has no such tokens.",
                where="require",
            )
        stop = next((stop for stop in wanted.stops if stop in text), None)
        if stop is not None:
            raise ConfigError(
                f"the string {text!r} that the text must hold holds {stop!r}, which ends the text.",
                where="require",
            )
    return Required(strings, wanted.length)
