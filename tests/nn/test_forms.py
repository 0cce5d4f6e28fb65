"""The accepted forms: ragged against row by row, every form against every other, the way back."""

import copy
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence

from elman import cells
from elman.errors import ShapeError
from elman.nn import GRU, LSTM, RNN, Recurrent

torch.set_num_threads(1)
F, H = 3, 4
CLOSE = {"rtol": 1e-10, "atol": 1e-12}
KINDS = {
    "lstm": lambda **o: LSTM(F, H, 2, bidirectional=True, **o),
    "projected": lambda **o: LSTM(F, H, 2, bidirectional=True, proj_size=2, **o),
    "gru": lambda **o: GRU(F, H, 2, bidirectional=True, **o),
    "before": lambda **o: GRU(F, H, 2, bidirectional=True, reset="before", **o),
    "rnn": lambda **o: RNN(F, H, 2, bidirectional=True, **o),
    "slstm": lambda **o: Recurrent(cells.sLSTM, F, H, depth=2, bidirectional=True, **o),
    "mingru": lambda **o: Recurrent(
        cells.minGRU, F, H, depth=2, bidirectional=True, residual=True, layer_norm="around", **o
    ),
}


def make(kind, **options):
    torch.manual_seed(2)
    return KINDS[kind](**{"dtype": torch.float64, **options})


def as_tuple(state):
    return state if isinstance(state, tuple) else (state,)


lengths_lists = st.lists(st.integers(0, 6), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(lengths_lists, st.sampled_from(sorted(KINDS)), st.booleans(), st.integers(0, 2))
def test_ragged_is_row_by_row(lengths, kind, with_state, extra):
    rnn = make(kind)
    time, batch = max([*lengths, 1]) + extra, len(lengths)
    x = torch.randn(time, batch, F, dtype=torch.float64, requires_grad=True)
    state = rnn.initial_state(batch)
    if with_state and kind != "slstm":
        values = tuple(torch.randn_like(v) for v in as_tuple(state))
        state = values if isinstance(state, tuple) else values[0]
    y, final = rnn(x, state, lengths=torch.tensor(lengths))
    alone = torch.zeros_like(y)
    finals = [torch.zeros_like(v) for v in as_tuple(final)]
    total = 0.0
    for b, n in enumerate(lengths):
        begin = tuple(v[:, b] for v in as_tuple(state))
        if n == 0:
            for k, v in enumerate(begin):
                finals[k][:, b] = v
            continue
        row, after = rnn(x[:n, b], begin if isinstance(state, tuple) else begin[0])
        alone[:n, b] = row.detach()
        total = total + (row**3).sum()
        for k, v in enumerate(as_tuple(after)):
            finals[k][:, b] = v.detach()
            total = total + v.square().sum() if v.isfinite().all() else total
    torch.testing.assert_close(y, alone, **CLOSE)
    torch.testing.assert_close(as_tuple(final), tuple(finals), **CLOSE)
    if any(lengths):
        loss = (y**3).sum()
        real = torch.tensor(lengths) > 0
        loss = loss + sum(
            v[:, real].square().sum() for v in as_tuple(final) if v[:, real].isfinite().all()
        )
        weights = [x, *rnn.parameters()]
        torch.testing.assert_close(
            torch.autograd.grad(loss, weights), torch.autograd.grad(total, weights), **CLOSE
        )


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_all_forms_agree(kind):
    lengths = [3, 5, 1, 5, 2]
    rows = [torch.randn(n, F, dtype=torch.float64) for n in lengths]
    x = torch.nn.utils.rnn.pad_sequence(rows)
    rnn, first = make(kind), make(kind, batch_first=True)
    wanted, state = rnn(x, lengths=lengths)
    real = torch.arange(5)[:, None] < torch.tensor(lengths)[None, :]
    dirty = x.masked_fill(~real[..., None], float("nan"))
    results = {
        "tuple": rnn(dirty, lengths=tuple(lengths)),
        "int32": rnn(dirty, lengths=torch.tensor(lengths, dtype=torch.int32)),
        "mask": rnn(dirty, mask=real),
        "integers": rnn(dirty, mask=real.long()),
    }
    y, final = first(dirty.transpose(0, 1), lengths=lengths)
    results["batch first"] = (y.transpose(0, 1), final)
    y, final = first(dirty.transpose(0, 1), mask=real.T)
    results["batch first, mask"] = (y.transpose(0, 1), final)
    y, final = rnn(pack_sequence(rows, enforce_sorted=False))
    assert isinstance(y, PackedSequence)
    results["packed"] = (pad_packed_sequence(y)[0], final)
    jagged = torch.nested.nested_tensor(rows, layout=torch.jagged)
    y, final = rnn(jagged)
    assert y.is_nested
    assert y.layout == torch.jagged
    (jagged.sum(dim=2, keepdim=True) + y).values()  # the same raggedness: they can be added
    results["jagged"] = (torch.nn.utils.rnn.pad_sequence(list(y.unbind())), final)
    for name, (y, final) in results.items():
        torch.testing.assert_close(y, wanted, **CLOSE, msg=lambda m, n=name: f"{n}: {m}")
        torch.testing.assert_close(as_tuple(final), as_tuple(state), **CLOSE)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_mask_with_holes_skips_the_missing_steps(kind):
    rnn = make(kind)
    mask = torch.tensor([[1, 0, 1, 1, 0, 1], [0, 0, 1, 1, 0, 0], [0] * 6]).bool().T
    x = torch.randn(6, 3, F, dtype=torch.float64)
    y, state = rnn(x.masked_fill(~mask[..., None], float("nan")), mask=mask)
    assert not y[~mask].any()
    for b in (0, 1):
        row, alone = rnn(x[mask[:, b], b])
        torch.testing.assert_close(y[mask[:, b], b], row, **CLOSE)
        for mine, other in zip(as_tuple(state), as_tuple(alone), strict=True):
            torch.testing.assert_close(mine[:, b], other, **CLOSE)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_empty_batch_and_empty_rows(kind):
    rnn = make(kind)
    state = rnn.initial_state(3)
    y, final = rnn(torch.full((4, 3, F), float("nan"), dtype=torch.float64), lengths=[0, 0, 0])
    assert y.shape == (4, 3, rnn.output_size)
    assert not y.any()
    for one, other in zip(as_tuple(final), as_tuple(state), strict=True):
        assert torch.equal(one, other)
    y, final = rnn(torch.zeros(4, 0, F, dtype=torch.float64))
    assert y.shape == (4, 0, rnn.output_size)
    assert as_tuple(final)[0].shape[1] == 0


@pytest.mark.parametrize("backend", [None, "reference"])
@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn", "projected"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_resets_are_sequences_of_their_own(kind, backend, dtype):
    rnn = make(kind, backend=backend, learn_initial=True, dtype=dtype)
    with torch.no_grad():
        for parameter in rnn.parameters():
            parameter.normal_(std=0.6)
    lengths, cuts = [6, 4, 0, 5], {0: [0, 2, 5], 1: [], 2: [], 3: [3]}
    x = torch.randn(6, 4, F, dtype=dtype)
    resets = torch.zeros(6, 4, dtype=torch.bool)
    for b, steps in cuts.items():
        resets[steps, b] = True
    given = tuple(torch.randn_like(v) for v in as_tuple(rnn.initial_state(4)))
    state = given if len(given) > 1 else given[0]
    y, _ = rnn(x, state, lengths=lengths, resets=resets)
    one_layer = make(kind, dtype=dtype)
    assert one_layer is not rnn
    # Two layers cannot be split by hand: the upper one reads both directions of the lower one,
    # and a cut separates them too. So each piece runs alone through the whole stack.
    for b, n in enumerate(lengths):
        edges = sorted({0, n, *cuts[b]})
        for begin, end in itertools.pairwise(edges):
            fresh = rnn.initial_state()
            start = [v.clone() for v in as_tuple(fresh)]
            for k, value in enumerate(given):
                for place in range(value.shape[0]):
                    backwards = place % 2 == 1
                    if (end == n) if backwards else (begin == 0 and 0 not in cuts[b]):
                        start[k][place] = value[place, b]
            piece, _ = rnn(x[begin:end, b], tuple(start) if len(start) > 1 else start[0])
            torch.testing.assert_close(y[begin:end, b], piece, rtol=1e-5, atol=1e-6)
    y.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in rnn.parameters())


def test_streams_in_every_form():
    rnn = Recurrent(cells.PhasedLSTM, F, H, dtype=torch.float64)
    rows = [torch.randn(n, F, dtype=torch.float64) for n in (2, 4)]
    times = [torch.arange(float(n), dtype=torch.float64) for n in (2, 4)]
    pad = torch.nn.utils.rnn.pad_sequence
    wanted, _ = rnn(pad(rows), lengths=[2, 4], streams={"t": pad(times)})
    y, _ = rnn(pad(rows), lengths=[2, 4], streams={"t": pad(times)[..., None]})
    assert torch.equal(y, wanted)
    packed = pack_sequence(rows, enforce_sorted=False)
    for t in (pack_sequence(times, enforce_sorted=False), pad(times)):
        y, _ = rnn(packed, streams={"t": t})
        torch.testing.assert_close(pad_packed_sequence(y)[0], wanted, **CLOSE)
    jagged = torch.nested.nested_tensor(rows, layout=torch.jagged)
    for t in (torch.nested.nested_tensor(times, layout=torch.jagged), pad(times)):
        y, _ = rnn(jagged, streams={"t": t})
        torch.testing.assert_close(pad(list(y.unbind())), wanted, **CLOSE)


def test_packed_streams_may_be_sorted_in_another_way():
    rnn = Recurrent(cells.PhasedLSTM, F, H, dtype=torch.float64)
    x, t = torch.randn(3, 20, F, dtype=torch.float64), torch.rand(3, 20, dtype=torch.float64)
    wanted, _ = rnn(x, streams={"t": t})
    ours = pack_sequence(list(x.unbind(1)), enforce_sorted=True)
    order = torch.arange(19, -1, -1)
    theirs = PackedSequence(t[:, order].flatten(), ours.batch_sizes, order, order.argsort())
    for one, other in ((ours, theirs), (ours, pack_sequence(list(t.unbind(1))))):
        y, _ = rnn(one, streams={"t": other})
        torch.testing.assert_close(pad_packed_sequence(y)[0], wanted, **CLOSE)


def test_nested_streams_of_other_lengths_are_refused():
    rnn = Recurrent(cells.PhasedLSTM, F, H, dtype=torch.float64)
    rows = [torch.randn(n, F, dtype=torch.float64) for n in (2, 4)]
    times = [torch.arange(float(n), dtype=torch.float64) for n in (4, 2)]
    x, t = (torch.nested.nested_tensor(v, layout=torch.jagged) for v in (rows, times))
    with pytest.raises(ShapeError, match="does not go with the input"):
        rnn(x, streams={"t": t})


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_ordinary_module(kind):
    rnn = make(kind)
    x = torch.randn(4, 2, F, dtype=torch.float64)
    wanted, _ = rnn(x)
    twin = copy.deepcopy(rnn)
    assert torch.equal(twin(x)[0], wanted)
    other = make(kind)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(rnn.state_dict())
    assert torch.equal(other(x)[0], wanted)
    vector_to_parameters(parameters_to_vector(rnn.parameters()) * 1.0, twin.parameters())
    assert torch.equal(twin(x)[0], wanted)
    single = twin.to(torch.float32)
    y, _ = single(x.float(), lengths=[4, 2])
    assert y.dtype == torch.float32
    y, _ = rnn(x.transpose(0, 1).contiguous().transpose(0, 1))  # not contiguous
    assert torch.equal(y, wanted)
    y, _ = rnn(x[:1])
    torch.testing.assert_close(y[0, :, :1].isfinite().all(), torch.tensor(True))


def test_tied_parameters():
    rnn = Recurrent(cells.LSTM, H, H, depth=2)
    for name, parameter in list(rnn.layers[0]["forwards"].named_parameters()):
        setattr(rnn.layers[1]["forwards"], name, parameter)
    assert len(list(rnn.parameters())) == 12
    y, _ = rnn(torch.randn(3, 2, H))
    y.sum().backward()
    assert all(p.grad is not None for p in rnn.parameters())
    lstm = LSTM(H, H, 2)
    lstm.weight_hh_l1 = lstm.weight_hh_l0
    y, _ = lstm(torch.randn(3, 2, H), lengths=[3, 1])
    y.sum().backward()
    assert len(list(lstm.parameters())) == 7
