"""From a sequence to one vector: pooling over the real steps of each row."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from elman.errors import ConfigError, did_you_mean

KINDS = ("last", "mean", "max", "attention")


def real_steps(lengths: Tensor, time: int) -> Tensor:
    """A mask `(time, batch)`, True where a step is real. `lengths`: `(batch,)`."""
    return torch.arange(time, device=lengths.device)[:, None] < lengths[None, :]


class Pooling(nn.Module):
    """Pools `(time, batch, features)` over the real steps to `(batch, output_size)`.

    Args:
        kinds: one of `last`, `mean`, `max`, `attention`, or several joined by `+`, whose
            results are concatenated. `last` is the last real step of the forward direction and
            the first step of the backward one. `max` and `mean` over all positions: Johnson &
            Zhang 2016. `attention` weighs the steps by a learned query (Yang et al. 2016).
        features: the size of the last dimension.
        bidirectional: whether the second half of the features runs backwards.

    A row without steps pools to zeros. What stands in the padding has no influence, not even NaN.

    Raises:
        ConfigError: a kind that does not exist.
    """

    def __init__(self, kinds: str, features: int, *, bidirectional: bool = False) -> None:
        super().__init__()
        self.kinds = tuple(kind.strip() for kind in kinds.split("+"))
        for kind in self.kinds:
            if kind not in KINDS:
                raise ConfigError(f'there is no pooling "{kind}".', hint=did_you_mean(kind, KINDS))
        self.bidirectional = bidirectional
        self.output_size = features * len(self.kinds)
        self.project = nn.Linear(features, features) if "attention" in self.kinds else None
        self.query = nn.Linear(features, 1, bias=False) if "attention" in self.kinds else None

    def forward(self, y: Tensor, lengths: Tensor) -> Tensor:
        """`y`: `(time, batch, features)`, `lengths`: `(batch,)` -> `(batch, output_size)`."""
        mask = real_steps(lengths, y.shape[0])[..., None]
        y = torch.where(mask, y, torch.zeros((), dtype=y.dtype, device=y.device))
        return torch.cat([self._pool(kind, y, lengths, mask) for kind in self.kinds], dim=-1)

    def _pool(self, kind: str, y: Tensor, lengths: Tensor, mask: Tensor) -> Tensor:
        if kind == "last":
            return self._last(y, lengths)
        if kind == "mean":
            return y.sum(0) / lengths.clamp(min=1)[:, None].to(y.dtype)
        if kind == "max":
            pooled = y.masked_fill(~mask, torch.finfo(y.dtype).min).amax(0)
            return torch.where((lengths > 0)[:, None], pooled, torch.zeros_like(pooled))
        return self._attention(y, mask)

    def _last(self, y: Tensor, lengths: Tensor) -> Tensor:
        index = (lengths - 1).clamp(min=0).view(1, -1, 1).expand(1, -1, y.shape[-1])
        last = y.gather(0, index)[0] * (lengths > 0)[:, None].to(y.dtype)
        if not self.bidirectional:
            return last
        half = y.shape[-1] // 2
        return torch.cat([last[:, :half], y[0, :, half:]], dim=-1)

    def _attention(self, y: Tensor, mask: Tensor) -> Tensor:
        assert self.project is not None and self.query is not None
        score = self.query(torch.tanh(self.project(y)))
        score = score.masked_fill(~mask, torch.finfo(y.dtype).min)
        weight = torch.softmax(score, dim=0) * mask.to(y.dtype)
        return (weight * y).sum(0)

    def extra_repr(self) -> str:
        """What `repr` shows."""
        return f"{'+'.join(self.kinds)}, output_size={self.output_size}"
