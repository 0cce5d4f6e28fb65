"""The language model's network, in the usual order:

tokens -> embedding -> recurrent stack, its state carried -> [attention] -> dropout -> softmax
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from elman.cells import Cell
from elman.errors import ConfigError
from elman.nn import EmbeddingDropout, Recurrent, SharedDropout, Tapered, WindowAttention
from elman.nn.block import Deep
from elman.nn.cross_entropy import linear_cross_entropy, sampled_cross_entropy
from elman.tasks.lm_config import LmModelConfig

State = Any
_CUTOFFS = (2000, 10_000, 50_000)
"""Where the adaptive softmax parts the tokens, the most frequent ones first."""
_MANY = 50_000
"""Tokens above which training sees some at a time unless the settings say."""
_AT_ONCE = 1 << 22
"""Scores that exist at a time."""
_CHARACTER = 128


class LanguageNetwork(nn.Module):
    """Tokens in, a score for every next token out.

    Args:
        config: the settings.
        cell: the recurrence.
        vocabulary: the number of tokens V.
        tied: whether embedding and softmax share their matrix, which an adaptive softmax does not.

    Raises:
        ConfigError: an adaptive softmax of few tokens, or one that shall share its matrix.
    """

    def __init__(self, config: LmModelConfig, cell: Cell, vocabulary: int, *, tied: bool) -> None:
        super().__init__()
        adaptive = is_adaptive(config, vocabulary)
        tied = tied and not adaptive
        self.config, self.vocabulary, self.tied = config, vocabulary, tied
        size = config.embedding or (config.hidden if tied else _CHARACTER)
        self.embedding = nn.Embedding(vocabulary, size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.drop_types = EmbeddingDropout(config.embedding_dropout)
        self.drop_input = SharedDropout(config.input_dropout)
        self.recurrent = _stack(config, cell, size, tied=tied)
        self.drop_output = SharedDropout(config.output_dropout)
        width = config.hidden if config.stack == "deep" else self.recurrent.output_size
        self.attention = attention_of(config, width)
        self.shrink = nn.Linear(width, size) if tied and width != size else None
        many = config.softmax == "auto" and vocabulary > _MANY
        self.samples = config.softmax == "sampled" or many
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
            with torch.autocast(flat.device.type, enabled=False):
                logs = self.adaptive.log_prob(flat.to(self.embedding.weight.dtype))
            return logs.reshape(*features.shape[:-1], self.vocabulary)
        if not self.tied:
            return self.linear(features)
        if self.shrink is not None:
            features = self.shrink(features)
        return functional.linear(features, self.embedding.weight, self.bias)

    def losses(self, features: Tensor, targets: Tensor) -> Tensor:
        """Nats of each target, `(T, B)`; scores of all tokens exist for some steps at a time."""
        flat, wanted = features.reshape(-1, features.shape[-1]), targets.reshape(-1)
        if self.adaptive is not None:
            with torch.autocast(flat.device.type, enabled=False):
                found = self.adaptive(flat.to(self.embedding.weight.dtype), wanted)
            return -found.output.reshape(targets.shape)
        count, dtype = max(1, _AT_ONCE // self.vocabulary), self.embedding.weight.dtype
        pieces = [
            functional.cross_entropy(self.logits(part).to(dtype), marks, reduction="none")
            for part, marks in zip(flat.split(count), wanted.split(count), strict=True)
        ]
        return torch.cat(pieces).reshape(targets.shape)

    def loss(
        self,
        features: Tensor,
        targets: Tensor,
        counted: Tensor | None = None,
        shares_of_text: Tensor | None = None,
    ) -> Tensor:
        """Mean nats of the targets, for training.

        Args:
            features: `(T, B, H)`.
            targets: `(T, B)` tokens.
            counted: `(T, B)`, which targets count; None: all.
            shares_of_text: `(V,)`, how frequent each token is; given, the softmax may be sampled.
        """
        marks = torch.ones_like(targets) if counted is None else counted
        shares = marks.to(self.embedding.weight.dtype) / marks.sum().clamp(min=1)
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
        given = flat, weight, bias, targets.reshape(-1), shares.reshape(-1)
        if shares_of_text is None or not self.samples:
            return linear_cross_entropy(*given)
        often = shares_of_text * targets.numel()
        return sampled_cross_entropy(*given, often=often, more=self.config.samples)

    def forward(
        self, ids: Tensor, state: State = None, resets: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """`(T, B)` tokens -> scores `(T, B, V)` for the next ones, and the state."""
        features, _, state = self.features(ids, state, resets)
        return self.logits(features), state


def is_adaptive(config: LmModelConfig, vocabulary: int) -> bool:
    """Whether frequent tokens have a softmax of their own (Grave et al. 2017).

    Raises:
        ConfigError: the settings ask for one that this vocabulary or tied matrices cannot have.
    """
    if config.softmax != "adaptive":
        return False
    if config.tied:
        raise ConfigError(
            "an adaptive softmax has matrices of its own, which cannot be the embedding's.",
            where="model.tied",
            hint="Leave out model.tied, or set model.softmax to full or sampled.",
        )
    if vocabulary <= _CUTOFFS[0] + 1:
        raise ConfigError(
            f"got {vocabulary} tokens, wanted more than {_CUTOFFS[0] + 1} for an adaptive softmax.",
            where="model.softmax",
            hint="Set it to full, or to auto, which decides by the number of tokens.",
        )
    return True


def attention_of(config: LmModelConfig, width: int) -> WindowAttention | None:
    """The attention of the settings behind a stack that gives `width` features, if they ask."""
    if config.attention == 0:
        return None
    return WindowAttention(width, config.attention, dropout=config.layer_dropout)


def _stack(config: LmModelConfig, cell: Cell, size: int, *, tied: bool) -> Any:
    options: dict[str, Any] = {
        "depth": config.depth,
        "dropout": config.layer_dropout,
        "recurrent_dropout": config.recurrent_dropout,
        "weight_drop": config.weight_drop,
        "zoneout": config.zoneout,
        "init": config.init,
        "hyperparameters": config.hyperparameters,
        "backend": config.backend,
    }
    if config.stack == "deep":
        return Deep(cell, size, config.hidden, **options)
    if tied and config.outputs == "last" and config.depth > 1 and size != config.hidden:
        return Tapered(cell, size, config.hidden, size, **options)
    return Recurrent(cell, size, config.hidden, outputs=config.outputs, **options)


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
