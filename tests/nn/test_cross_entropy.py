"""Cross-entropy in pieces against torch's, values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from elman.nn import cross_entropy
from elman.nn.cross_entropy import linear_cross_entropy, sampled_cross_entropy


def _given(dtype: torch.dtype = torch.float64, bias: bool = True) -> list[Tensor | None]:
    torch.manual_seed(0)
    return [
        torch.randn(23, 5, dtype=dtype, requires_grad=True),
        torch.randn(11, 5, dtype=dtype, requires_grad=True),
        torch.randn(11, dtype=dtype, requires_grad=True) if bias else None,
    ]


def _plain(x: Tensor, w: Tensor, b: Tensor | None, targets: Tensor, shares: Tensor) -> Tensor:
    losses = functional.cross_entropy(functional.linear(x, w, b), targets, reduction="none")
    return (losses * shares).sum()


@pytest.mark.parametrize("at_once", [1, 22, 100, 10_000])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients(at_once: int, bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_entropy, "_AT_ONCE", at_once)
    given = _given(bias=bias)
    learnt = [one for one in given if one is not None]
    targets, shares = torch.randint(11, (23,)), torch.rand(23, dtype=torch.float64)
    shares[3] = 0
    wanted, found = (f(*given, targets, shares) for f in (_plain, linear_cross_entropy))  # type: ignore[operator,arg-type]
    torch.testing.assert_close(found, wanted, rtol=1e-13, atol=0)
    left, right = (torch.autograd.grad(3 * one, learnt) for one in (found, wanted))
    for one, other in zip(left, right, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


def test_scores_of_any_size() -> None:
    x, w, b = (one.detach() for one in _given(torch.float32) if one is not None)
    targets, shares = torch.randint(11, (23,)), torch.ones(23)
    found = linear_cross_entropy(300 * x, 300 * w, b, targets, shares)
    torch.testing.assert_close(found, _plain(300 * x, 300 * w, b, targets, shares))


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("features", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("share", [1 / 23, 1e-9])
def test_lower_precision_is_for_the_products_alone(
    low: torch.dtype, features: torch.dtype, share: float
) -> None:
    """Shares of a large batch are so small that slopes of 16 bits would vanish."""
    x, w, b = _given(torch.float32)
    assert x is not None and w is not None
    x = x.detach().to(features).requires_grad_()
    targets, shares = torch.randint(11, (23,)), torch.full((23,), share)
    wanted = _plain(x.float(), w, b, targets, shares)
    with torch.autocast("cpu", low):
        found = linear_cross_entropy(x, w, b, targets, shares)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=0.02, atol=0)
    left, right = (torch.autograd.grad(one, [x, w]) for one in (found, wanted))
    for one, other in zip(left, right, strict=True):
        assert one.dtype == other.dtype
        assert float((one.float() - other.float()).norm() / other.float().norm()) < 0.02


@pytest.mark.parametrize("bias", [True, False])
def test_a_sample_of_all_tokens_is_the_whole(bias: bool) -> None:
    given = _given(bias=bias)
    learnt = [one for one in given if one is not None]
    targets, shares = torch.randint(11, (23,)), torch.rand(23, dtype=torch.float64)
    wanted = _plain(*given, targets, shares)  # type: ignore[arg-type]
    found = sampled_cross_entropy(*given, targets, shares, often=torch.zeros(11), more=3000)  # type: ignore[arg-type]
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)
    left, right = (torch.autograd.grad(one, learnt) for one in (found, wanted))
    for one, other in zip(left, right, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_a_sample_learns_the_frequencies() -> None:
    """Without anything else to see, the best scores are the logarithms of the frequencies."""
    torch.manual_seed(0)
    frequencies = 1 / torch.arange(1, 201, dtype=torch.float64)
    frequencies /= frequencies.sum()
    bias = torch.zeros(200, dtype=torch.float64, requires_grad=True)
    steps, features, weight = 64, torch.ones(64, 1).double(), torch.zeros(200, 1).double()
    shares = torch.full((steps,), 1 / steps, dtype=torch.float64)
    optimiser = torch.optim.Adam([bias], lr=0.05)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1, 0.001, 4000)
    for _ in range(4000):
        targets = torch.multinomial(frequencies, steps, replacement=True)
        loss = sampled_cross_entropy(
            features, weight, bias, targets, shares, often=frequencies * steps, more=8
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    found = bias.detach().softmax(0)
    assert float((found.log() - frequencies.log()).abs().max()) < 0.5
    assert float((frequencies * (frequencies / found).log()).sum()) < 0.01  # nats above the best
