"""Text out of a language model, token by token, in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elman.data import Tokeniser
from elman.decoding import Scores, beam_search
from elman.errors import ConfigError
from elman.tasks.lm_drawing import Drawing, Wanted, check_length
from elman.tasks.lm_network import LanguageNetwork
from elman.tasks.lm_text import Written

_AT_A_TIME = 2048  # tokens of a prompt


@dataclass(frozen=True)
class Token:
    """One generated token; printed it is its text.

    Attributes:
        id: its number.
        text: what it adds to the text; a stop that begins inside a token is not in it.
        log_probability: in nats, under the model as it is, before any filter.
    """

    id: int
    text: str
    log_probability: float

    def __str__(self) -> str:
        return self.text


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
    return scores.cpu().double().numpy()  # numpy has no bfloat16, which autocast gives


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
        self._drawing: Drawing | None = None  # of the last reply

    def reply(self, text: str) -> Iterator[Token]:
        """The tokens of the answer to a turn."""
        if self._drawing is not None and "\n" not in self._drawing.end:
            self._hear("\n")  # the last reply was cut: its turn ends all the same
        self._hear(" ".join(text.split()) + "\n")
        self._drawing = Drawing(self.wanted, self.tokeniser, [], 0, self._random)
        yield from stopped(self._drawn(self._drawing), ("\n",))

    def _hear(self, text: str) -> None:
        for token in self.tokeniser.encode(text):
            self._scores = self._reader.next(token)

    def _drawn(self, drawing: Drawing) -> Iterator[Token]:
        for _ in range(self.wanted.length):
            token, log = drawing.next(self._scores)
            if token == 0:
                return
            self._scores = self._reader.next(token)
            yield Token(token, drawing.add(token), log)


def generate(
    network: LanguageNetwork,
    tokeniser: Tokeniser,
    prompt: Sequence[int],
    wanted: Wanted,
    *,
    boundary: int = 0,
    weights: str | None = None,
) -> Iterator[Token]:
    """Tokens one after the other, as they are drawn; together their texts are the text.

    Raises:
        DataError: the constraints leave no token. ConfigError: a string that is required cannot
            be written, or holds a string that ends the text.
    """
    drawing = Drawing(wanted, tokeniser, list(prompt), boundary)
    reader = Reader(network, weights=weights)

    def drawn() -> Iterator[Token]:
        scores = reader.read([boundary, *prompt])
        for _ in range(wanted.length):
            token, log = drawing.next(scores)
            if token == boundary:
                return
            yield Token(token, drawing.add(token), log)
            if drawing.complete():
                return
            scores = reader.next(token)

    yield from stopped(drawn(), wanted.stops)


def stopped(tokens: Iterable[Token], stops: Sequence[str]) -> Iterator[Token]:
    """The tokens before the first place where one of the strings stands.

    A token that may hold the beginning of such a string is held back until that is known; one that
    a string begins in is cut there.
    """
    waiting: deque[Token] = deque()
    text = ""  # theirs
    for token in tokens:
        waiting.append(token)
        text += token.text
        places = [place for stop in stops if (place := text.find(stop)) >= 0]
        known = min(places) if places else len(text) - _begun(text, stops)
        while waiting and len(waiting[0].text) <= known:
            known -= len(waiting[0].text)
            text = text[len(waiting[0].text) :]
            yield waiting.popleft()
            if places and not known:
                return
        if places:
            if known:
                yield replace(waiting[0], text=waiting[0].text[:known])
            return
    yield from waiting


def _begun(text: str, stops: Sequence[str]) -> int:
    """How many characters at the end of the text may be the beginning of one of the strings."""
    longest = max(map(len, stops), default=0)
    sizes = range(min(len(text), longest - 1), 0, -1)
    return next((n for n in sizes if any(stop.startswith(text[-n:]) for stop in stops)), 0)


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
        pieces = [written.add(token) for token in hypothesis.tokens]
        made.append(("".join(pieces), hypothesis.score))
    return made


def _select(state: Any, rows: Tensor) -> Any:
    if isinstance(state, Tensor):
        return state.index_select(-2, rows)
    if isinstance(state, tuple | list):
        return tuple(_select(part, rows) for part in state)
    return state
