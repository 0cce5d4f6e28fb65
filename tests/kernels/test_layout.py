"""The packed layout against torch's packing, and its gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.utils.rnn import pack_padded_sequence

from elman.errors import ShapeError
from elman.kernels.carry import Carry
from elman.kernels.layout import Layout, gather, scatter, scatter_beside

torch.set_num_threads(1)
lengths_lists = st.lists(st.integers(0, 7), min_size=1, max_size=8)


@settings(deadline=None)
@given(lengths_lists, st.integers(0, 2))
def test_pack_and_unpack(lengths, extra):
    layout = Layout(lengths)
    time = max(lengths) + extra
    x = torch.randn(time, len(lengths), 2)
    data = layout.pack(x)
    real = torch.arange(time)[:, None] < torch.tensor(lengths)[None, :]
    assert data.shape == (sum(lengths), 2)
    assert layout.total == sum(lengths)
    assert torch.equal(layout.unpack(data, time), x * real[..., None])
    if min(lengths) > 0:
        theirs = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
        assert layout.rows == theirs.batch_sizes.tolist()
        assert torch.equal(data.sum(), theirs.data.sum())
    assert layout.offsets[-1] == layout.total
    assert len(layout.rows) == layout.steps
    rows = torch.arange(len(lengths))
    assert torch.equal(layout.unsort(layout.sort(rows)), rows)
    steps = [t for t, n in enumerate(layout.rows) for _ in range(n)]
    assert layout.step_of.tolist() == steps
    assert layout.row_of.tolist() == [r for n in layout.rows for r in range(n)]
    assert [n for a, b, n in layout.runs for _ in range(a, b)] == layout.rows
    sizes = [n for _, _, n in layout.runs]
    assert sizes == sorted(set(sizes), reverse=True)


def test_stable_order_and_the_uniform_case():
    layout = Layout([2, 3, 2, 3])
    assert layout.order is not None
    assert layout.order.tolist() == [1, 3, 0, 2]
    uniform = Layout.uniform(3, 2)
    x = torch.randn(3, 2, 4)
    assert uniform.order is None
    assert uniform.pack(x).data_ptr() == x.data_ptr()
    assert uniform.unpack(uniform.pack(x)).data_ptr() == x.data_ptr()
    assert Layout([]).steps == 0
    assert Layout([0, 0]).rows == []


def test_negative_lengths():
    with pytest.raises(ShapeError, match="negative"):
        Layout([2, -1])


def test_gradients_of_gather_and_scatter():
    x = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    index = torch.tensor([3, 0, 4])
    beside = torch.ones(6, 1, dtype=torch.float64)
    for call in (
        lambda v: gather(v, index) ** 3,
        lambda v: scatter(v[:3], index, 6) ** 3,
        lambda v: scatter_beside(v[:3], index, beside) ** 3,
    ):
        assert gradcheck(call, x)
        assert gradgradcheck(call, x)
    weight = torch.randn(3, 2, dtype=torch.float64)
    grads = torch.func.grad(lambda v: (gather(v, index) * weight).sum())(x.detach())
    assert torch.equal(grads[index], weight)


@settings(deadline=None)
@given(lengths_lists, st.booleans())
def test_carry(lengths, reverse):
    """Every row's state counts the steps that it ran."""
    layout = Layout(lengths)
    order = range(layout.steps - 1, -1, -1) if reverse else range(layout.steps)
    state = torch.zeros(len(lengths), 1)
    carry = Carry((state,), [layout.rows[t] for t in order], reverse=reverse)
    for t in order:
        (now,) = carry.enter(layout.rows[t])
        assert now.shape[0] == layout.rows[t]
        carry.states = (now + 1,)
    assert carry.final()[0][:, 0].tolist() == layout.lengths
