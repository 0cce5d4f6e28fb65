"""Text out of a language model, token by token, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elman.data import Tokeniser
from elman.decoding import (
    Constraints,
    Sampling,
    Scores,
    beam_search,
    choose,
    filtered,
    log_softmax,
)
from elman.errors import ConfigError, DataError
from elman.tasks.lm_network import LanguageNetwork
from elman.tasks.lm_text import Written

_AT_A_TIME = 2048  # tokens of a prompt


@dataclass(frozen=True)
class Token:
    """One generated token.

    Attributes:
        id: its number.
        text: what it adds to the text.
        log_probability: in nats, under the model as it is, before any filter.
    """

    id: int
    text: str
    log_probability: float


class Reader:
    """A network that is fed one token after another.

    A plain stack runs as a stream, one call of machine code a step; anything else through its own
    layers with the state carried.
    """

    def __init__(self, network: LanguageNetwork, *, weights: str | None = None) -> None:
        self.network = network.eval()
        self._stream: Any = None
        self._state: Any = None
        self._memory: Any = None  # of the attention behind a stream
        plain = network.config.stack == "plain"
        if plain and next(network.parameters()).device.type == "cpu":
            self._stream = network.recurrent.stream(weights=weights)
        elif weights not in (None, "float32"):
            raise ConfigError(
                f"the weights of this model cannot be kept as {weights}: it has no stream.",
                where="weights",
                hint="Models of plain layers on the processor have one.",
            )

    @torch.no_grad()
    def read(self, ids: Sequence[int]) -> Scores:
        """Reads tokens from the initial state on; the scores `(V,)` of what follows."""
        scores, state = _read(self.network, ids)
        if self._stream is None:
            self._state = state
        elif self.network.attention is None:
            self._stream.state = state
        else:
            self._stream.state, self._memory = state
        return _numbers(scores)

    @torch.no_grad()
    def next(self, token: int) -> Scores:
        """Reads one more token; the scores of what follows."""
        if self._stream is None:
            device = next(self.network.parameters()).device
            ids = torch.tensor([[token]], device=device)
            features, _, self._state = self.network.features(ids, self._state)
            return _numbers(self.network.logits(features[-1, 0]))
        y = self._stream.step(self.network.embedding.weight[token])
        if self.network.attention is not None:
            seen, self._memory = self.network.attention(y[None, None], self._memory)
            y = seen[0, 0]
        return _numbers(self.network.logits(y))


def _numbers(scores: Tensor) -> Scores:
    return scores.cpu().numpy().astype(np.float64)


def _read(network: LanguageNetwork, ids: Sequence[int]) -> tuple[Tensor, Any]:
    """Reads tokens, however many, in constant memory; the scores `(V,)` of what follows them."""
    device = next(network.parameters()).device
    features, state = torch.zeros(0), None
    for begin in range(0, len(ids), _AT_A_TIME):
        tokens = torch.tensor(ids[begin : begin + _AT_A_TIME], device=device)[:, None]
        features, _, state = network.features(tokens, state)
    return network.logits(features[-1, 0]), state


class Chat:
    """A dialogue that goes on: what is said is read, what is answered is drawn, line by line.

    Args:
        network, tokeniser: the model.
        wanted: how a reply is drawn; it ends with its line.
    """

    def __init__(self, network: LanguageNetwork, tokeniser: Tokeniser, wanted: Wanted) -> None:
        self.tokeniser, self.wanted = tokeniser, wanted
        self._reader = Reader(network)
        self._random = np.random.default_rng(wanted.seed)
        self._scores = self._reader.read([0])

    def reply(self, text: str) -> Iterator[Token]:
        """The tokens of the answer to a turn."""
        for token in self.tokeniser.encode(" ".join(text.split()) + "\n"):
            self._scores = self._reader.next(token)
        written = Written(self.tokeniser)
        for _ in range(self.wanted.length):
            token = _drawn(
                self._scores, self.wanted, written, written.ids, self._random, 0,
                self.tokeniser.unknown_id,
            )  # fmt: skip
            if token == 0:
                return
            log = float(log_softmax(self._scores)[token])
            self._scores = self._reader.next(token)
            made = Token(token, written.add(token), log)
            if "\n" in written.text:
                return
            yield made


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

    Raises:
        ConfigError: an impossible value.
    """

    length: int = 500
    sampling: Sampling = field(default_factory=Sampling)
    constraints: Constraints = field(default_factory=Constraints)
    stops: tuple[str, ...] = ()
    ends: bool = True
    seed: int = 1

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


def generate(
    network: LanguageNetwork,
    tokeniser: Tokeniser,
    prompt: Sequence[int],
    wanted: Wanted,
    *,
    boundary: int = 0,
    weights: str | None = None,
) -> Iterator[Token]:
    """Tokens one after the other, as they are drawn.

    Raises:
        DataError: the constraints leave no token.
    """
    reader = Reader(network, weights=weights)
    random = np.random.default_rng(wanted.seed)
    scores = reader.read([boundary, *prompt])
    written = Written(tokeniser, prompt)
    window = max(1, wanted.sampling.window)
    recent = list(prompt[-window:])
    for _ in range(wanted.length):
        token = _drawn(scores, wanted, written, recent, random, boundary, tokeniser.unknown_id)
        if token == boundary:
            return
        log = float(log_softmax(scores)[token])
        yield Token(token, written.add(token), log)
        if any(written.text.endswith(stop) for stop in wanted.stops):
            return
        recent.append(token)
        if len(recent) > window:
            del recent[0]
        scores = reader.next(token)


def _drawn(
    scores: Scores,
    wanted: Wanted,
    written: Written,
    recent: list[int],
    random: np.random.Generator,
    boundary: int,
    unknown: int,
) -> int:
    """A token that the settings and the constraints allow."""
    left = scores.copy()
    left[unknown] = -np.inf
    if not wanted.ends or not wanted.constraints.finished(written.text):
        left[boundary] = -np.inf
    rules = wanted.constraints
    logs = filtered(left, wanted.sampling, recent)
    while True:
        token = choose(logs, random)
        if token == boundary or not rules or rules.allows(written.text, written.piece(token)):
            return token
        # Drawn again among the rest: together the draws follow the restricted distribution.
        left[token] = logs[token] = -np.inf
        if np.isneginf(logs).all():
            if np.isneginf(left).all():
                raise DataError(
                    f"nothing may follow {written.text[-40:]!r}: the constraints exclude every "
                    "token.",
                    hint="Loosen the expression to match (--matching), the forbidden strings "
                    "(--forbid) or the beginnings of the lines (--acrostic).",
                )
            logs = filtered(left, Sampling(temperature=wanted.sampling.temperature or 1.0))


def beam(
    network: LanguageNetwork,
    tokeniser: Tokeniser,
    prompt: Sequence[int],
    *,
    width: int,
    length: int,
    penalty: float = 0.0,
    boundary: int = 0,
) -> list[tuple[str, float]]:
    """The most probable continuations and their log-probabilities, the best one first.

    Raises:
        ConfigError: a width below 1 or a length below 0.
    """
    if width < 1:
        raise ConfigError(f"got {width} beams, wanted 1 or more.", where="beam")
    check_length(length)
    network.eval()
    with torch.no_grad():
        scores, state = _read(network, [boundary, *prompt])
        first = torch.log_softmax(scores, dim=0)
        first[tokeniser.unknown_id] = -torch.inf

        def step(tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
            features, _, state = network.features(tokens[None], state)
            logs = torch.log_softmax(network.logits(features[0]), dim=1)
            logs[:, tokeniser.unknown_id] = -torch.inf
            return logs, state

        found = beam_search(
            first, state, step, _select, width=width, length=length, ends={boundary},
            penalty=penalty,
        )  # fmt: skip
    made: list[tuple[str, float]] = []
    for hypothesis in found:
        written = Written(tokeniser, prompt)
        for token in hypothesis.tokens:
            written.add(token)
        made.append((written.text, hypothesis.score))
    return made


def _select(state: Any, rows: Tensor) -> Any:
    if isinstance(state, Tensor):
        return state.index_select(-2, rows)
    if isinstance(state, tuple | list):
        return tuple(_select(part, rows) for part in state)
    return state
