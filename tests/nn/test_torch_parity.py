"""elman's RNN, LSTM, GRU and their cells against torch.nn in float64: values and all gradients."""

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import elman.nn as enn
from elman.errors import ShapeError

torch.set_num_threads(1)
F, H, B, T = 3, 4, 3, 5
LENGTHS = torch.tensor([2, 5, 3])
FORMS = ("time", "batch", "unbatched", "packed", "packed-unsorted")
CLOSE = {"rtol": 1e-10, "atol": 1e-10}

CONFIGURATIONS = [
    {"kind": kind, "num_layers": layers, "bidirectional": both, "bias": bias, **more}
    for kind, layers, both, bias in itertools.product(
        ("RNN", "LSTM", "GRU"), (1, 2, 3), (False, True), (True, False)
    )
    for more in {
        "RNN": [{}, {"nonlinearity": "relu"}],
        "LSTM": [{}, {"proj_size": 2}],
        "GRU": [{}],
    }[kind]
]


def build(kind, **options):
    options = {"dtype": torch.float64, **options}
    theirs = getattr(nn, kind)(F, H, **options)
    mine = getattr(enn, kind)(F, H, **options)
    mine.load_state_dict(theirs.state_dict())
    return theirs, mine


def batch(form):
    x = torch.randn(T, B, F, dtype=torch.float64)
    if form == "batch":
        x = x.transpose(0, 1).contiguous()
    return x[:, 0].contiguous() if form == "unbatched" else x


def state_like(theirs, form):
    rows = () if form == "unbatched" else (B,)
    count = theirs.num_layers * (2 if theirs.bidirectional else 1)
    h = torch.randn(count, *rows, theirs.proj_size or H, dtype=torch.float64)
    c = torch.randn(count, *rows, H, dtype=torch.float64)
    return (h, c) if theirs.mode == "LSTM" else h


def leaves(value):
    values = value if isinstance(value, tuple) else (value,)
    return [v.detach().clone().requires_grad_() for v in values]


def call(module, form, x, state, weights):
    """Outputs and gradients with respect to the input, the states and every parameter."""
    x = x.detach().clone().requires_grad_()
    states = [] if state is None else leaves(state)
    given = None if not states else (states[0] if len(states) == 1 else tuple(states))
    if form.startswith("packed"):
        kept = form == "packed"
        lengths = LENGTHS.sort(descending=True)[0] if kept else LENGTHS
        packed = pack_padded_sequence(x, lengths, enforce_sorted=kept)
        y, final = module(packed, given)
        assert isinstance(y, PackedSequence)
        y, got = pad_packed_sequence(y)
        assert torch.equal(got, lengths)
    else:
        y, final = module(x, given)
    finals = final if isinstance(final, tuple) else (final,)
    generator = torch.Generator().manual_seed(2)
    loss = sum(
        (v * torch.randn(v.shape, generator=generator, dtype=v.dtype)).sum() for v in (y, *finals)
    )
    gradients = torch.autograd.grad(loss, [x, *states, *weights])
    return [y, *finals], gradients


def compare(options, form, with_state):
    torch.manual_seed(0)
    theirs, mine = build(**options, batch_first=form == "batch")
    x = batch(form)
    state = state_like(theirs, form) if with_state else None
    wanted = call(theirs, form, x, state, list(theirs.parameters()))
    for module in (mine, with_reference(options, form, mine)):
        got = call(module, form, x, state, list(module.parameters()))
        for one, other in zip((*got[0], *got[1]), (*wanted[0], *wanted[1]), strict=True):
            assert one.shape == other.shape
            torch.testing.assert_close(one, other, **CLOSE)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    back = copy.deepcopy(theirs)
    back.load_state_dict(mine.state_dict())
    for name, value in back.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name])


def with_reference(options, form, mine):
    kind = {k: v for k, v in options.items() if k != "kind"}
    module = getattr(enn, options["kind"])(
        F, H, **kind, batch_first=form == "batch", dtype=torch.float64, backend="reference"
    )
    module.load_state_dict(mine.state_dict())
    return module


def test_full_grid():
    for options, form, with_state in itertools.product(CONFIGURATIONS, FORMS, (False, True)):
        compare(options, form, with_state)


KEYWORDS = {
    "both by name": lambda module, x, state: module(input=x, hx=state),
    "the state by name": lambda module, x, state: module(x, hx=state),
    "the input by name": lambda module, x, state: module(input=x),
    "by place": lambda module, x, state: module(x, state),
}


@pytest.mark.parametrize("way", sorted(KEYWORDS))
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_torchs_keywords(kind, way):
    theirs, mine = build(kind, num_layers=2)
    x, state = batch("time"), state_like(theirs, "time")
    torch.testing.assert_close(
        KEYWORDS[way](mine, x, state), KEYWORDS[way](theirs, x, state), **CLOSE
    )


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_torchs_keywords_in_an_accelerated_model(kind):
    torch.manual_seed(5)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = getattr(nn, kind)(F, H, dtype=torch.float64)

        def forward(self, x, state):
            return self.rnn(input=x, hx=state)

    model = Model()
    x, state = batch("time"), state_like(model.rnn, "time")
    wanted = model(x, state)
    assert enn.accelerate(model).changed == ("rnn",)
    torch.testing.assert_close(model(x, state), wanted, **CLOSE)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x, state), wanted, **CLOSE)


def test_a_state_under_the_name_of_other_layers():
    theirs, mine = build("GRU")
    x, state = batch("time"), state_like(theirs, "time")
    torch.testing.assert_close(mine(x, state=state), theirs(x, state), **CLOSE)
    with pytest.raises(ShapeError, match="two states, hx and state"):
        mine(x, state, state=state)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_repr_and_parameter_order(kind):
    options = {"num_layers": 2, "bidirectional": True, "dropout": 0.25, "batch_first": True}
    theirs, mine = build(kind, **options, bias=False)
    assert repr(mine) == repr(theirs)
    assert [n for n, _ in mine.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert [len(w) for w in mine.all_weights] == [len(w) for w in theirs.all_weights]
    mine.flatten_parameters()


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_same_start_from_the_same_seed(kind):
    torch.manual_seed(4)
    theirs = getattr(nn, kind)(F, H, num_layers=2, bidirectional=True)
    torch.manual_seed(4)
    mine = getattr(enn, kind)(F, H, num_layers=2, bidirectional=True)
    for one, other in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu", "leaky_relu", "sigmoid", "identity"])
def test_nonlinearities(nonlinearity):
    act = {
        "tanh": torch.tanh,
        "relu": torch.relu,
        "leaky_relu": nn.LeakyReLU(0.01),
        "sigmoid": torch.sigmoid,
        "identity": lambda v: v,
    }[nonlinearity]
    rnn = enn.RNN(F, H, nonlinearity=nonlinearity, dtype=torch.float64)
    cell = enn.RNNCell(F, H, nonlinearity=nonlinearity, dtype=torch.float64)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in rnn.state_dict().items()})
    x, h = batch("time"), torch.zeros(B, H, dtype=torch.float64)
    y, final = rnn(x)
    for t in range(T):
        before = h
        h = act(
            x[t] @ rnn.weight_ih_l0.T + rnn.bias_ih_l0 + h @ rnn.weight_hh_l0.T + rnn.bias_hh_l0
        )
        torch.testing.assert_close(y[t], h, **CLOSE)
        torch.testing.assert_close(cell(x[t], before), h, **CLOSE)
    torch.testing.assert_close(final[0], h, **CLOSE)


def test_gru_reset_before():
    gru = enn.GRU(F, H, reset="before", dtype=torch.float64)
    cell = enn.GRUCell(F, H, reset="before", dtype=torch.float64)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in gru.state_dict().items()})
    x, h = batch("time"), torch.zeros(B, H, dtype=torch.float64)
    y, _ = gru(x)
    wr, wz, wn = gru.weight_ih_l0.chunk(3)
    ur, uz, un = gru.weight_hh_l0.chunk(3)
    br, bz, bn = (gru.bias_ih_l0 + gru.bias_hh_l0).chunk(3)
    for t in range(T):
        before = h
        r = torch.sigmoid(x[t] @ wr.T + h @ ur.T + br)
        z = torch.sigmoid(x[t] @ wz.T + h @ uz.T + bz)
        h = (1 - z) * torch.tanh(x[t] @ wn.T + (r * h) @ un.T + bn) + z * h
        torch.testing.assert_close(y[t], h, **CLOSE)
        torch.testing.assert_close(cell(x[t], before), h, **CLOSE)


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [(), (B,)])
def test_cells(kind, bias, rows):
    theirs = getattr(nn, kind)(F, H, bias=bias, dtype=torch.float64)
    mine = getattr(enn, kind)(F, H, bias=bias, dtype=torch.float64)
    mine.load_state_dict(theirs.state_dict())
    assert repr(mine) == repr(theirs)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    x = torch.randn(*rows, F, dtype=torch.float64)
    h, c = torch.randn(2, *rows, H, dtype=torch.float64)
    for state in (None, (h, c) if kind == "LSTMCell" else h):
        got, wanted = mine(x, state), theirs(x, state)
        torch.testing.assert_close(got, wanted, **CLOSE)
        sums = [v[0].sum() if isinstance(v, tuple) else v.sum() for v in (got, wanted)]
        got = torch.autograd.grad(sums[0], list(mine.parameters()))
        wanted = torch.autograd.grad(sums[1], list(theirs.parameters()))
        torch.testing.assert_close(got, wanted, **CLOSE)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("backend", [None, "reference"])
def test_double_backward(kind, backend):
    theirs, mine = build(kind, num_layers=2, bidirectional=True)
    other = getattr(enn, kind)(
        F, H, num_layers=2, bidirectional=True, dtype=torch.float64, backend=backend
    )
    other.load_state_dict(mine.state_dict())
    results = []
    x = batch("time")
    for module in (theirs, other):
        inner = x.clone().requires_grad_()
        y, _ = module(inner)
        (g,) = torch.autograd.grad(y.square().sum(), inner, create_graph=True)
        results.append(torch.autograd.grad(g.square().sum(), [inner, *module.parameters()]))
    torch.testing.assert_close(*results, **CLOSE)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_float32_ragged_and_twice_differentiable(kind):
    """The blocks of oneDNN's LSTM (float32) against the reference in float64."""
    torch.manual_seed(1)
    rnn = getattr(enn, kind)(F, H, num_layers=2, bidirectional=True)
    exact = getattr(enn, kind)(
        F, H, num_layers=2, bidirectional=True, dtype=torch.float64, backend="reference"
    )
    exact.load_state_dict(rnn.state_dict())
    lengths = [9, 0, 4, 9, 1, 7, 6]
    x = torch.randn(10, 7, F)
    for with_state in (False, True):
        results = []
        for module in (rnn, exact):
            dtype = module.weight_ih_l0.dtype
            inner = x.to(dtype).requires_grad_()
            state = module.initial_state(7)
            if with_state:
                torch.manual_seed(5)
                state = torch.randn(2, 4, 7, H).to(dtype)
                state = tuple(state) if kind == "LSTM" else state[0]
            y, final = module(inner, state, lengths=lengths)
            finals = final if isinstance(final, tuple) else (final,)
            loss = y.square().sum() + sum((k + 1) * (v**3).sum() for k, v in enumerate(finals))
            weights = [inner, *module.parameters()]
            first = torch.autograd.grad(loss, weights, create_graph=True)
            second = torch.autograd.grad(first[0].square().sum(), weights)
            results.append([y, *finals, *first, *second])
        for one, other in zip(*results, strict=True):
            torch.testing.assert_close(one.double(), other, rtol=1e-3, atol=2e-4)
