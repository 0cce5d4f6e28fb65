"""What runs around the loop: joined weights are multiplied as they are stored."""

from __future__ import annotations

import pytest
import torch

from elman import nn
from elman.kernels.cpu import work


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_joined_weights_are_not_copied(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch stacks the gates in another order than the equations: the product follows torch's."""
    torch.manual_seed(0)
    layer = getattr(nn, kind)(48, 32, backend="cpu")
    beside = getattr(torch.nn, kind)(48, 32)
    beside.load_state_dict(layer.state_dict())
    taken: list[int] = []
    product = work.linear

    def linear(x: torch.Tensor, weight: torch.Tensor, *rest: torch.Tensor, **options: str):
        taken.append(weight.data_ptr())
        return product(x, weight, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(work, "linear", linear)
    x = torch.randn(30, 2, 48)
    found, wanted = layer(x)[0], beside(x)[0]
    assert taken == [layer.weight_ih_l0.data_ptr()]
    torch.testing.assert_close(found, wanted, atol=2e-6, rtol=0)
    amounts = torch.randn_like(wanted)
    found.backward(amounts)
    wanted.backward(amounts)
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(
            parameter.grad, beside.get_parameter(name).grad, atol=1e-4, rtol=1e-4
        )
