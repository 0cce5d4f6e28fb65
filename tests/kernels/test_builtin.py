"""Recognition of torch's recurrences, the blocks of ragged batches, and the choice of a backend."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elman import cells
from elman.cells import R, W, b, catalogue, cell, params, sigmoid, tanh, u
from elman.errors import ConfigError
from elman.kernels import Layout, Situation, launch, plan, run
from elman.kernels.blocks import CALL, ROW, Placement, exact_blocks, merged_blocks
from elman.kernels.builtin import found

torch.set_num_threads(1)
FOUND = {
    "Elman": "rnn_tanh", "IRNN": "rnn_relu", "LSTM": "lstm", "LSTMP": "lstm_projected",
    "GRUResetAfter": "gru",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_which_cells_of_the_catalogue_are_torchs(name):
    match = found(catalogue()[name].step())
    assert (match.pattern.kind if match else None) == FOUND.get(name)


def test_recognised_by_equations_and_not_by_name():
    q = params("Q")

    @cell
    def Odd(v, /, s):
        keep = sigmoid(q.k @ v + R.k @ s + b.k)
        open_ = sigmoid(R.o @ s + q.o @ v + b.o)
        new = tanh(open_ * (u.m + R.m @ s) + (b.m + q.m @ v))
        return new + keep * (s - new)

    match = found(Odd.step())
    assert match is not None
    assert match.pattern.kind == "gru"
    assert match.names["W.r"] == "Q.o"
    assert match.names["u.n"] == "u.m"

    @cell
    def LSTM(x, /, h, c):  # named so, but the gates are tanh
        i, f, o, g = (tanh(W.g[k] @ x + R.g[k] @ h + b.g[k]) for k in "ifog")
        c = f * c + i * g
        return o * tanh(c), c

    assert found(LSTM.step()) is None
    assert found(cells.Elman.step(activation="sigmoid")) is None


lengths_lists = st.lists(st.integers(0, 40), min_size=1, max_size=7).filter(any)


def cost(blocks):
    return sum(CALL + (k.stop - k.start) * (k.rows + ROW) for k in blocks)


@settings(deadline=None, max_examples=60)
@given(lengths_lists)
def test_merged_blocks_are_the_cheapest(lengths):
    layout = Layout(lengths)
    blocks = merged_blocks(layout)
    assert blocks[0].start == 0
    assert blocks[-1].stop == layout.steps
    for one, other in itertools.pairwise(blocks):
        assert one.stop == other.start
    assert all(k.rows == layout.rows[k.start] for k in blocks)
    runs = layout.runs
    best = float("inf")
    for cut in itertools.product((False, True), repeat=len(runs) - 1):
        groups = [[runs[0]]]
        for run_, new in zip(runs[1:], cut, strict=True):
            if new:
                groups.append([])
            groups[-1].append(run_)
        best = min(best, sum(CALL + (g[-1][1] - g[0][0]) * (g[0][2] + ROW) for g in groups))
    assert cost(blocks) == pytest.approx(best)


def test_exact_blocks_and_cuts():
    layout = Layout([5, 2, 5])
    blocks = exact_blocks(layout, {1, 2, 4})
    assert [(k.start, k.stop, k.rows) for k in blocks] == [
        (0, 1, 3), (1, 2, 3), (2, 4, 2), (4, 5, 2),
    ]  # fmt: skip
    assert Placement(layout, blocks).index is None


def test_many_lengths_are_taken_together():
    layout = Layout(list(range(1, 301)))
    blocks = merged_blocks(layout)
    assert len(blocks) <= 64
    assert blocks[-1].stop == 300


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_idle_rows_keep_their_state(reverse, zero, scale):
    """The LSTM in float32, blocks merged, against the reference in float64."""
    torch.manual_seed(0)
    step = cells.LSTM.step()
    sizes = step.resolve(input_size=3, hidden_size=5)
    layout = Layout([12, 11, 11, 7, 5, 5, 3, 0])
    assert any(len(merged_blocks(layout)) < len(layout.runs) for _ in (0,))
    results = []
    for dtype, backend in ((torch.float32, "builtin"), (torch.float64, "reference")):
        torch.manual_seed(1)
        parameters = {
            p.name: (torch.randn([sizes.get(n, n) for n in p.var.shape]) * 0.4)
            .to(dtype)
            .requires_grad_()
            for p in step.parameters
        }
        x = (scale * torch.randn(layout.total, 3)).to(dtype).requires_grad_()
        initial = tuple(torch.zeros(8, 5).to(dtype) for _ in range(2))
        if not zero:
            initial = tuple((v + torch.randn(8, 5)).to(dtype).requires_grad_() for v in initial)
        y, final = run(
            step, sizes, parameters, {"x": x}, initial, layout, reverse=reverse, backend=backend
        )
        generator = torch.Generator().manual_seed(3)
        loss = sum(
            (v * torch.randn(v.shape, generator=generator).to(dtype)).sum() for v in (y, *final)
        )
        inner = [x, *parameters.values(), *(() if zero else initial)]
        results.append([y, *final, *torch.autograd.grad(loss, inner)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=2e-4, atol=2e-4 * max(1, scale / 10))


def test_plan_and_its_refusals():
    step = cells.MGU.step()
    sizes = step.resolve(input_size=3, hidden_size=4)
    situation = Situation("cpu", torch.float32, 10, 4, 31)
    made = plan(step, sizes, situation)
    assert made.backend == "reference"
    assert made.kind == "matmul"
    assert made.flops > 0
    assert [name for name, _ in made.refused] == ["cpu", "builtin"]
    assert made.levels == {"P": 0, "X": 2, "S": made.levels["S"]}
    with pytest.raises(ConfigError, match='Did you mean "reference"'):
        plan(step, sizes, situation, backend="referense")
    with pytest.raises(ConfigError, match="cannot run MGU"):
        plan(step, sizes, situation, backend="builtin")


def test_a_new_backend_is_a_row(monkeypatch):
    seen = []

    def mine(call):
        seen.append(call.step.name)
        return launch.run_reference(call)

    row = launch.Backend("mine", lambda _, s: None if s.steps < 9 else "long", mine, "it is new")
    monkeypatch.setattr(launch, "BACKENDS", [row, *launch.BACKENDS])
    step = cells.MGU.step()
    sizes = step.resolve(input_size=3, hidden_size=4)
    parameters = {p.name: torch.zeros([sizes.get(n, n) for n in p.var.shape]) for p in
                  step.parameters}  # fmt: skip
    run(step, sizes, parameters, {"x": torch.zeros(6, 3)}, (torch.zeros(2, 4),),
        Layout.uniform(3, 2))  # fmt: skip
    assert seen == ["MGU"]
    long = plan(step, sizes, Situation("cpu", torch.float32, 10, 4, 31))
    assert long.backend == "reference"
    assert ("mine", "long") in long.refused
