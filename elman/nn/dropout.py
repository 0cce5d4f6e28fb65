"""Dropouts for sequences: shared over time, per step, on whole words, on whole weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from elman.errors import ConfigError
from elman.kernels.layout import Layout

KINDS = ("shared", "step")


def check_probability(p: float, name: str) -> float:
    """`p` as a float.

    Raises:
        ConfigError: it is no probability.
    """
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1:
        raise ConfigError(f"got {p!r}, wanted a probability from 0 to 1.", where=name)
    return float(p)


def keep_mask(like: Tensor, shape: tuple[int, ...], p: float) -> Tensor:
    """A mask of 0 (with probability p) and 1 / (1 - p), of the dtype and device of `like`."""
    if p >= 1:
        return like.new_zeros(shape)
    return like.new_empty(shape).bernoulli_(1 - p).div_(1 - p)


def drop_packed(data: Tensor, layout: Layout, p: float, kind: str) -> Tensor:
    """Dropout on packed data `(N, F)`: one mask for each row and feature, or one for each step."""
    if p == 0:
        return data
    if kind == "step":
        return functional.dropout(data, p)
    return data * shared_mask(data, layout, data.shape[1], p)


def shared_mask(like: Tensor, layout: Layout, features: int, p: float) -> Tensor:
    """A packed mask `(N, features)` that is the same in every step of a row."""
    return keep_mask(like, (layout.batch, features), p).index_select(0, layout.row_of)


class SharedDropout(nn.Module):
    """Dropout whose mask is shared over time (locked, variational; Gal & Ghahramani 2016).

    `(T, B, F)`, or `(B, T, F)` with `batch_first=True` -> the same; one mask `(B, F)` a call.
    """

    def __init__(self, p: float = 0.5, *, batch_first: bool = False) -> None:
        super().__init__()
        self.p = check_probability(p, "dropout")
        self.batch_first = batch_first

    def forward(self, x: Tensor) -> Tensor:
        """Drops in training, passes through in evaluation."""
        if not self.training or self.p == 0:
            return x
        time = 1 if self.batch_first else 0
        shape = tuple(1 if k == time else size for k, size in enumerate(x.shape))
        return x * keep_mask(x, shape, self.p)

    def extra_repr(self) -> str:
        """The settings."""
        return f"p={self.p}" + (", batch_first=True" if self.batch_first else "")


class WordDropout(nn.Module):
    """Replaces each token by the unknown one with probability p, in training.

    `(...)` integers -> the same. Padding (`pad_id`) stays.
    """

    def __init__(self, p: float, *, unknown_id: int = 1, pad_id: int | None = 0) -> None:
        super().__init__()
        self.p = check_probability(p, "word_dropout")
        self.unknown_id, self.pad_id = unknown_id, pad_id

    def forward(self, ids: Tensor) -> Tensor:
        """Replaces in training, passes through in evaluation."""
        if not self.training or self.p == 0:
            return ids
        drop = torch.rand(ids.shape, device=ids.device) < self.p
        if self.pad_id is not None:
            drop &= ids != self.pad_id
        return ids.masked_fill(drop, self.unknown_id)

    def extra_repr(self) -> str:
        """The settings."""
        return f"p={self.p}, unknown_id={self.unknown_id}, pad_id={self.pad_id}"


class EmbeddingDropout(nn.Module):
    """Drops whole word types: each row of the embedding with probability p (Gal & Ghahramani 2016).

    `EmbeddingDropout(p)(embedding, ids)` looks `ids` up; within a call a word is either dropped
    everywhere or nowhere, and what stays is scaled by 1 / (1 - p).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = check_probability(p, "embedding_dropout")

    def forward(self, embedding: nn.Embedding, ids: Tensor) -> Tensor:
        """Ids `(...)` -> vectors `(..., F)`."""
        vectors: Tensor = embedding(ids)
        if not self.training or self.p == 0:
            return vectors
        mask = keep_mask(vectors, (embedding.num_embeddings, 1), self.p)
        return vectors * functional.embedding(ids, mask)

    def extra_repr(self) -> str:
        """The settings."""
        return f"p={self.p}"


class WeightDrop(nn.Module):
    """Dropout on the entries of a weight (DropConnect; Merity et al. 2018), as a parametrisation.

    `torch.nn.utils.parametrize.register_parametrization(linear, "weight", WeightDrop(0.5))`; the
    recurrent layers have it as an option, `weight_drop=`.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = check_probability(p, "weight_drop")

    def forward(self, weight: Tensor) -> Tensor:
        """The weight, entries dropped in training."""
        return functional.dropout(weight, self.p, self.training)

    def extra_repr(self) -> str:
        """The settings."""
        return f"p={self.p}"
