"""The norm of the deep stacks."""

from __future__ import annotations

from torch import Tensor, nn


class Norm(nn.RMSNorm):
    """RMSNorm (Zhang and Sennrich 2019) in the precision of its weights, under autocast too."""

    def forward(self, x: Tensor) -> Tensor:
        """`(..., size)` -> the same shape."""
        return super().forward(x.to(self.weight.dtype))
