"""Products of bfloat16: against the same sums of rounded numbers, and against whole float32."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from elman.cells import find
from elman.kernels.cpu.brain import multiplies_brain
from elman.kernels.cpu.outer import outers
from elman.kernels.cpu.target import host, restricted
from elman.nn import Recurrent

needed = pytest.mark.skipif(
    not multiplies_brain(host()), reason="this processor has no products of bfloat16"
)
LENGTHS = [9, 1, 14, 0, 14, 7, 3, 11, 14, 2]


def rounded(x: Tensor) -> Tensor:
    return x.bfloat16().float()


def error(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).detach().norm() / wanted.detach().norm())


@needed
@pytest.mark.parametrize(("n", "p", "sizes"), [(700, 130, [65, 33]), (257, 64, [128]),
                                              (511, 101, [100, 7])])  # fmt: skip
def test_outer_products(n: int, p: int, sizes: list[int]) -> None:
    torch.manual_seed(0)
    d, several = torch.randn(n, p), [torch.randn(n, 40 * size) for size in sizes]
    for found, x in zip(outers(d, several, brain=True), several, strict=True):
        assert error(found, rounded(d).double().t() @ rounded(x).double()) < 1e-6


@needed
@pytest.mark.parametrize("batch", [1, 3, 17])
@pytest.mark.parametrize("size", [1, 16, 37])
def test_a_step_multiplies_rounded_numbers(batch: int, size: int) -> None:
    """One step from zeros, twice: where all numbers are bfloat16 already, nothing is lost."""
    torch.manual_seed(0)
    layer = Recurrent(find("gru"), 5, size, backend="cpu")
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(rounded(p))
    x = rounded(torch.randn(1, batch, 5))
    start = rounded(torch.randn(1, batch, size))
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = layer(x, start)
    torch.testing.assert_close(found, layer(x, start)[0], rtol=1e-5, atol=1e-6)


@needed
def test_an_lstm_by_hand() -> None:
    """A loop in float64 that rounds what enters a product, and nothing else."""
    torch.manual_seed(0)
    layer = Recurrent(find("lstm"), 12, 33, backend="cpu")
    x = torch.randn(20, 9, 12)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        found, _ = layer(x)
    weights = {name: p.detach() for name, p in layer.cell_parameters(0, 0).items()}
    h = c = torch.zeros(9, 33, dtype=torch.float64)
    outputs: list[Tensor] = []
    for x_t in x:
        gates = {
            gate: rounded(x_t).double() @ rounded(weights[f"W.{gate}"]).double().t()
            + rounded(h.float()).double() @ rounded(weights[f"R.{gate}"]).double().t()
            + sum(v.double() for name, v in weights.items() if v.dim() == 1 and name[2:] == gate)
            for gate in "ifog"
        }
        c = gates["f"].sigmoid() * c + gates["i"].sigmoid() * gates["g"].tanh()
        h = gates["o"].sigmoid() * c.tanh()
        outputs.append(h)
    assert error(found, torch.stack(outputs)) < 2e-4


def ways() -> Iterator[tuple[str, dict[str, int | bool]]]:
    yield from ((cell, {}) for cell in ("lstm", "gru", "mgu", "lem", "mingru", "layernormlstm"))
    yield from (("lstm", {"bidirectional": True, "depth": 2}), ("peepholelstm", {}))


@pytest.mark.parametrize(("cell", "options"), list(ways()))
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_layers_under_autocast(cell: str, options: dict, lengths: list[int] | None) -> None:
    """Nearer to float32 than torch's own operators, which round their results too."""
    x = torch.randn(14, 10, 19, generator=torch.Generator().manual_seed(0), requires_grad=True)
    marks = None if lengths is None else torch.tensor(lengths)

    def results(backend: str, low: bool) -> list[Tensor]:
        torch.manual_seed(0)
        layer = Recurrent(find(cell), 19, 50, backend=backend, **options)
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            y, _ = layer(x, lengths=marks)
        if backend == "cpu":
            assert y.dtype == torch.float32
        gradients = torch.autograd.grad(y.float().square().sum(), [x, *layer.parameters()])
        return [y.detach(), *gradients]

    whole, ours, theirs = results("cpu", False), results("cpu", True), results("reference", True)
    for right, found, beside in zip(whole, ours, theirs, strict=True):
        assert error(found, right) < max(0.005, error(beside.float(), right))
    total = [sum(error(one.float(), right) for one, right in zip(found, whole, strict=True))
             for found in (ours, theirs)]  # fmt: skip
    assert total[0] < total[1]
    if multiplies_brain(host()):
        assert all(error(one, right) > 1e-5 for one, right in zip(ours, whole, strict=True))


@needed
def test_a_step_backwards_by_hand() -> None:
    """h = tanh(x W' + h R' + b): what enters a product is rounded, forwards and backwards."""
    torch.manual_seed(0)
    layer = Recurrent(find("rnn"), 20, 48, backend="cpu")
    x, start = torch.randn(2, 9, 20), torch.randn(1, 9, 48)
    owed = torch.randn(2, 9, 48)
    p = dict(layer.cell_parameters(0, 0))
    recurrent = next(name for name in p if name.startswith("R"))
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = layer(x, start)
    (found,) = torch.autograd.grad(y, [p[recurrent]], owed)
    weight = rounded(p[recurrent].detach()).double()
    last = owed[1].double() * (1 - y[1].detach().double() ** 2)
    first = owed[0].double() + rounded(last.float()).double() @ weight
    first = first * (1 - y[0].detach().double() ** 2)
    before = [start[0], y[0].detach()]
    wanted = sum(
        (delta.double().t() @ h.double() for delta, h in zip([first, last], before, strict=True)),
        torch.zeros(48, 48, dtype=torch.float64),
    )
    assert error(found, wanted) < 1e-5  # too few steps for products of weight gradients in 16 bits


@needed
@pytest.mark.parametrize("bits", [0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FC00000])
def test_what_is_no_number_stays_so(bits: int) -> None:
    layer = Recurrent(find("lstm"), 40, 40, backend="cpu")
    poison = torch.tensor(bits - (1 << 32) if bits >> 31 else bits, dtype=torch.int32)
    x = torch.randn(2, 40, 40)
    x[0, 0, 3] = poison.view(torch.float32)
    assert x[0, 0, 3].isnan()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        y, _ = layer(x)
    assert y[:, 0].isnan().all() and not y[:, 1:].isnan().any()


@needed
def test_a_layer_in_bfloat16() -> None:
    torch.manual_seed(0)
    layer = Recurrent(find("lstm"), 8, 24, backend="cpu").bfloat16()
    x = torch.randn(6, 4, 8).bfloat16()
    y, _ = layer(x)
    wanted, _ = layer.float()(x.float())
    assert y.dtype == torch.bfloat16
    assert error(y.float(), wanted) < 0.02


def test_narrower_processors_do_without() -> None:
    assert not multiplies_brain(restricted(128))
