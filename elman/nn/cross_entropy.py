"""Cross-entropy behind a linear layer, without keeping the layer's scores.

The scores of N steps for V tokens are N x V numbers, for words some hundred megabytes a batch, that
are written and read half a dozen times. Here they exist for a few hundred steps at a time, and what
they give to the gradient is taken at once (as in Hsu et al. 2024, "Liger Kernel").
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_AT_ONCE = 1 << 22
"""Scores that exist at a time: 16 MB, which stay in the cache of most processors."""


def linear_cross_entropy(
    features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, shares: Tensor
) -> Tensor:
    """The sum over steps of `shares` times the nats of `targets`, a number.

    Under autocast the products are of the lower precision; what is summed is not. It can be
    differentiated once.

    Args:
        features: `(N, H)`.
        weight: `(V, H)`.
        bias: `(V,)`, or None.
        targets: `(N,)` numbers below V.
        shares: `(N,)` in float32, or float64 with such weights, what each step counts for.

    Raises:
        RuntimeError: the sizes do not fit, or a gradient of the gradient is asked for.
    """
    found: Any = _LinearCrossEntropy.apply(features, weight, bias, targets, shares)
    return found


def sampled_cross_entropy(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    shares: Tensor,
    *,
    often: Tensor,
    more: int,
) -> Tensor:
    """The same against some tokens only: the targets of all steps and `more` drawn evenly.

    Each score is corrected by the chance that its token is among them, so that the best scores
    are those of the whole cross-entropy (Bengio and Senécal 2008). What it costs does not grow
    with V, and rare tokens still learn that they are not meant.

    Args:
        features, weight, bias, targets, shares: as for `linear_cross_entropy`.
        often: `(V,)`, how often each token is expected among N targets.
        more: tokens to draw; the draws are those of `torch.manual_seed`.
    """
    count = len(weight)
    kept = torch.zeros(count, dtype=torch.bool, device=weight.device)
    kept[targets] = True
    kept[torch.randint(count, (more,), device=weight.device)] = True
    tokens = kept.nonzero()[:, 0]
    place = kept.cumsum(0) - 1
    chance = -torch.expm1(-(often[tokens] + more / count))
    offset = -chance.log().to(weight.dtype)
    offset = offset if bias is None else bias.index_select(0, tokens) + offset
    rows = weight.index_select(0, tokens)
    return linear_cross_entropy(features, rows, offset, place[targets], shares)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        shares: Tensor,
    ) -> Tensor:
        kind = features.device.type
        low = torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if low else weight.dtype
        with torch.autocast(kind, enabled=False):
            return _summed(ctx, (features, weight, bias), targets, shares, dtype)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *upstream: Tensor
    ) -> tuple[Tensor | None, ...]:
        factor = ctx.most * upstream[0]
        pairs = zip(ctx.gradients, ctx.dtypes, strict=True)
        found = (None if g is None else (g * factor).to(dtype) for g, dtype in pairs)
        return (*found, None, None)


def _summed(
    ctx: Any,
    given: tuple[Tensor, Tensor, Tensor | None],
    targets: Tensor,
    shares: Tensor,
    dtype: torch.dtype,
) -> Tensor:
    """The sum; its gradients stay in `ctx`, by the largest share.

    Slopes of 16 bits would vanish if they were as small as a step's share of a large batch.
    """
    features, weight, bias = given
    learn = any(ctx.needs_input_grad[:3])
    to_features = torch.empty_like(features, dtype=weight.dtype) if learn else None
    to_weight = torch.zeros_like(weight) if learn else None
    to_bias = torch.zeros_like(bias) if learn and bias is not None else None
    total = weight.new_zeros(())
    shares = shares.to(weight.dtype)
    most = shares.abs().amax().clamp(min=torch.finfo(weight.dtype).tiny)
    matrix = weight.to(dtype)
    count = max(1, _AT_ONCE // len(weight))
    for begin in range(0, len(features), count):
        part = slice(begin, begin + count)
        x, wanted, share = features[part].to(dtype), targets[part, None], shares[part]
        scores = torch.mm(x, matrix.T).to(weight.dtype)
        if bias is not None:
            scores += bias
        scores -= scores.amax(dim=1, keepdim=True)
        theirs = scores.gather(1, wanted)[:, 0]
        sums = scores.exp_().sum(dim=1)
        total += ((sums.log() - theirs) * share).sum()
        if to_features is None or to_weight is None:
            continue
        share = share / most
        scores *= (share / sums)[:, None]
        scores.scatter_add_(1, wanted, -share[:, None])
        slopes = scores.to(dtype)
        to_features[part] = torch.mm(slopes, matrix)
        if dtype == weight.dtype:
            to_weight.addmm_(slopes.T, x)
        else:
            to_weight += torch.mm(slopes.T, x)
        if to_bias is not None:
            to_bias += scores.sum(dim=0)
    ctx.gradients, ctx.most = (to_features, to_weight, to_bias), most
    ctx.dtypes = (features.dtype, weight.dtype, weight.dtype)
    return total
