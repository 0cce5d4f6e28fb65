"""The language model's network, in the usual order:

tokens -> embedding -> recurrent stack, its state carried -> [attention] -> dropout -> softmax
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from elman.cells import Cell
from elman.nn import EmbeddingDropout, Recurrent, SharedDropout, WindowAttention
from elman.nn.block import Deep
from elman.nn.cross_entropy import linear_cross_entropy
from elman.tasks.lm_config import LmModelConfig

State = Any
_CUTOFFS = (2000, 10_000, 50_000)
"""Where the adaptive softmax parts the tokens, the most frequent ones first."""
_MANY = {"auto": 20_000, "adaptive": _CUTOFFS[0] + 1}
"""Tokens above which it is used; a smaller vocabulary is cheaper as a whole."""
_CHARACTER = 128


class LanguageNetwork(nn.Module):
    """Tokens in, a score for every next token out.

    Args:
        config: the settings.
        cell: the recurrence.
        vocabulary: the number of tokens V.
        tied: whether embedding and softmax share their matrix; never with an adaptive softmax.
    """

    def __init__(self, config: LmModelConfig, cell: Cell, vocabulary: int, *, tied: bool) -> None:
        super().__init__()
        adaptive = vocabulary > _MANY.get(config.softmax, vocabulary)
        tied = tied and not adaptive
        self.config, self.vocabulary, self.tied = config, vocabulary, tied
        size = config.embedding or (config.hidden if tied else _CHARACTER)
        self.embedding = nn.Embedding(vocabulary, size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.drop_types = EmbeddingDropout(config.embedding_dropout)
        self.drop_input = SharedDropout(config.input_dropout)
        self.recurrent = _stack(config, cell, size)
        self.drop_output = SharedDropout(config.output_dropout)
        width = config.hidden if config.stack == "deep" else self.recurrent.output_size
        self.attention = attention_of(config, width)
        self.shrink = nn.Linear(width, size) if tied and width != size else None
        self.adaptive: Any = None
        self.bias: nn.Parameter | None = None
        if adaptive:
            cutoffs = [cutoff for cutoff in _CUTOFFS if cutoff < vocabulary - 1]
            self.adaptive = nn.AdaptiveLogSoftmaxWithLoss(width, vocabulary, cutoffs)
        elif tied:
            self.bias = nn.Parameter(torch.zeros(vocabulary))
        else:
            self.linear = nn.Linear(width, vocabulary)

    def features(
        self, ids: Tensor, state: State = None, resets: Tensor | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """`(T, B)` -> the stack's output with and without dropout, `(T, B, H)`, and the state."""
        vectors = self.drop_input(self.drop_types(self.embedding, ids))
        state, memory = (state, None) if self.attention is None or state is None else state
        if self.config.stack == "deep":
            lengths = torch.full((ids.shape[1],), ids.shape[0], device=ids.device)
            plain, state = self.recurrent(vectors, state, lengths=lengths, resets=resets)
        else:
            plain, state = self.recurrent(vectors, state, resets=resets)
        if self.attention is not None:
            plain, memory = self.attention(plain, memory, resets)
            state = (state, memory)
        return self.drop_output(plain), plain, state

    def logits(self, features: Tensor) -> Tensor:
        """`(..., H)` -> scores `(..., V)`; log-probabilities where the softmax is adaptive."""
        if self.adaptive is not None:
            flat = features.reshape(-1, features.shape[-1])
            return self.adaptive.log_prob(flat).reshape(*features.shape[:-1], self.vocabulary)
        if not self.tied:
            return self.linear(features)
        if self.shrink is not None:
            features = self.shrink(features)
        return functional.linear(features, self.embedding.weight, self.bias)

    def losses(self, features: Tensor, targets: Tensor) -> Tensor:
        """Nats of each target, `(T, B)`."""
        flat = features.reshape(-1, features.shape[-1])
        if self.adaptive is not None:
            return -self.adaptive(flat, targets.reshape(-1)).output.reshape(targets.shape)
        scores = self.logits(flat)
        found = functional.cross_entropy(scores, targets.reshape(-1), reduction="none")
        return found.reshape(targets.shape)

    def loss(self, features: Tensor, targets: Tensor, counted: Tensor | None = None) -> Tensor:
        """Mean nats of the targets, of those that `counted` `(T, B)` marks where it is given."""
        marks = torch.ones_like(targets) if counted is None else counted
        shares = marks.to(features.dtype) / marks.sum().clamp(min=1)
        if self.adaptive is not None:
            return (self.losses(features, targets) * shares).sum()
        flat = features.reshape(-1, features.shape[-1])
        if self.shrink is not None:
            flat = self.shrink(flat)
        weight, bias = (
            (self.embedding.weight, self.bias)
            if self.tied
            else (self.linear.weight, self.linear.bias)
        )
        return linear_cross_entropy(flat, weight, bias, targets.reshape(-1), shares.reshape(-1))

    def forward(
        self, ids: Tensor, state: State = None, resets: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """`(T, B)` tokens -> scores `(T, B, V)` for the next ones, and the state."""
        features, _, state = self.features(ids, state, resets)
        return self.logits(features), state


def attention_of(config: LmModelConfig, width: int) -> WindowAttention | None:
    """The attention of the settings behind a stack that gives `width` features, if they ask."""
    if config.attention == 0:
        return None
    return WindowAttention(width, config.attention, dropout=config.layer_dropout)


def _stack(config: LmModelConfig, cell: Cell, size: int) -> Any:
    if config.stack == "deep":
        return Deep(
            cell,
            size,
            config.hidden,
            depth=config.depth,
            dropout=config.layer_dropout,
            hyperparameters=config.hyperparameters,
            backend=config.backend,
        )
    return Recurrent(
        cell,
        size,
        config.hidden,
        depth=config.depth,
        dropout=config.layer_dropout,
        recurrent_dropout=config.recurrent_dropout,
        weight_drop=config.weight_drop,
        zoneout=config.zoneout,
        outputs=config.outputs,
        init=config.init,
        hyperparameters=config.hyperparameters,
        backend=config.backend,
    )


def detached(state: State) -> State:
    """The same state, cut from the graph: truncated backpropagation ends here."""
    if isinstance(state, Tensor):
        return state.detach()
    if isinstance(state, tuple | list):
        return tuple(detached(part) for part in state)
    return state


def flat_state(state: State) -> list[Tensor]:
    """The tensors of a state in order."""
    if isinstance(state, Tensor):
        return [state]
    if isinstance(state, tuple | list):
        return [tensor for part in state for tensor in flat_state(part)]
    return []


def like_state(state: State, tensors: list[Tensor]) -> State:
    """A state of the form of `state` from its tensors in order; takes them off the list."""
    if isinstance(state, Tensor):
        return tensors.pop(0)
    if isinstance(state, tuple | list):
        return tuple(like_state(part, tensors) for part in state)
    return state
