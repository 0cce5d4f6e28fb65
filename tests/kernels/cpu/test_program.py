"""What runs around the loop: joined weights are multiplied as they are stored."""

from __future__ import annotations

import pytest
import torch

from elman import nn
from elman.cells import find
from elman.kernels.cpu import work

BACKENDS = ("cpu", "reference")


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


@pytest.mark.parametrize(("rows", "wanted"), [(12, "inside of"), (3, "before")])
def test_norms_of_inputs_are_done_in_the_loop(rows: int, wanted: str) -> None:
    """With rows enough; values and gradients are those of torch op by op."""
    torch.manual_seed(0)
    layers = [nn.Recurrent(find("LayerNormLSTM"), 9, 21, backend=name) for name in BACKENDS]
    layers[1].load_state_dict(layers[0].state_dict())
    assert f"inputs are multiplied {wanted} the loop" in str(layers[0].plan(rows, 6))
    lengths = torch.arange(rows) % 7
    given = torch.randn(6, rows, 9)
    found: list[dict[str, torch.Tensor]] = []
    for layer in layers:
        x = given.clone().requires_grad_()
        y = layer(x, lengths=lengths)[0]
        y.square().sum().backward()
        found.append({"y": y, "x": _of(x), **{n: _of(p) for n, p in layer.named_parameters()}})
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], atol=2e-4, rtol=2e-4)


def _of(tensor: torch.Tensor) -> torch.Tensor:
    assert tensor.grad is not None
    return tensor.grad
