"""Every cell of the catalogue as a layer, against numpy and against itself cut in other ways."""

import numpy as np
import numpy_cells
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from elman.cells import catalogue
from elman.compiler import format_latex, format_text
from elman.nn import Recurrent

torch.set_num_threads(1)
NAMES = sorted(catalogue())
HIDDEN = 8
LENGTHS = [3, 0, 5, 5, 1]
TIME = 6
ROWS = len(LENGTHS)


def layer(name, **options):
    torch.manual_seed(3)
    size = HIDDEN if name == "RGLRU" else 3
    rnn = Recurrent(catalogue()[name], size, HIDDEN, dtype=torch.float64, **options)
    with torch.no_grad():
        for parameter in rnn.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return rnn.eval()


def streams(name, time=TIME, batch=ROWS):
    generator = torch.Generator().manual_seed(5)
    if name in ("PhasedLSTM", "ClockworkRNN"):
        return {"t": torch.arange(time, dtype=torch.float64)[:, None].expand(time, batch)}
    if name == "ZoneoutGRU":
        return {"keep": torch.rand(time, batch, HIDDEN, generator=generator, dtype=torch.float64)}
    return {}


def inputs(rnn, time=TIME, batch=ROWS):
    generator = torch.Generator().manual_seed(7)
    return torch.randn(time, batch, rnn.input_size, generator=generator, dtype=torch.float64)


def as_tuple(state):
    return state if isinstance(state, tuple) else (state,)


def numpy_run(rnn, name, place, x, state, extra, resets=None):
    part = rnn.layers[0]["backwards" if place else "forwards"]
    parameters = {k: v.detach().numpy() for k, v in part.by_name().items()}
    rows = []
    for b, n in enumerate(LENGTHS):
        start = [v[place, b].detach().numpy() for v in as_tuple(state)]
        given = [
            np.atleast_1d(v.numpy()).reshape(TIME, len(LENGTHS), -1)[:n, b] for v in extra.values()
        ]
        marks = None if resets is None else resets[:n, b].numpy()
        rows.append(
            numpy_cells.run(
                name, x[:n, b].numpy(), parameters, start, given, marks, reverse=place == 1
            )
        )
    return rows


@pytest.mark.parametrize("name", NAMES)
def test_values_against_numpy_both_directions_lengths_resets(name):
    rnn = layer(name, bidirectional=True)
    x, extra = inputs(rnn), streams(name)
    resets = torch.rand(TIME, len(LENGTHS), generator=torch.Generator().manual_seed(1)) < 0.3
    state = rnn.initial_state(len(LENGTHS))
    if name != "sLSTM":
        state = tuple(v + torch.rand_like(v) * 0.5 for v in as_tuple(state))
        state = state if len(state) > 1 else state[0]
    for marks in (None, resets):
        y, final = rnn(x, state, lengths=LENGTHS, streams=extra, resets=marks)
        width = y.shape[2] // 2
        for place in (0, 1):
            rows = numpy_run(rnn, name, place, x, state, extra, marks)
            for b, (outputs, finals) in enumerate(rows):
                mine = y[:, b, place * width : (place + 1) * width].detach().numpy()
                assert not mine[LENGTHS[b] :].any()
                for t, wanted in enumerate(outputs):
                    np.testing.assert_allclose(mine[t], wanted, rtol=1e-8, atol=1e-10)
                for value, wanted in zip(as_tuple(final), finals, strict=True):
                    got = value[place, b].detach().numpy()
                    np.testing.assert_allclose(got, wanted, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_step_and_chunks_give_the_whole(name):
    rnn = layer(name, depth=1 if name == "RGLRU" else 2, backend="reference")
    x, extra = inputs(rnn), streams(name)
    whole, final = rnn(x, streams=extra)
    state, outputs = None, []
    for t in range(TIME):
        now = {k: v[t] for k, v in extra.items()}
        y, state = rnn.step(x[t], state, streams=now)
        outputs.append(y)
    torch.testing.assert_close(torch.stack(outputs), whole, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(as_tuple(state), as_tuple(final), rtol=1e-12, atol=1e-13)
    first, state = rnn(x[:2], streams={k: v[:2] for k, v in extra.items()})
    second, state = rnn(x[2:], state, streams={k: v[2:] for k, v in extra.items()})
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(as_tuple(state), as_tuple(final), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_once_and_twice(name):
    hidden = HIDDEN if name == "ClockworkRNN" else 2
    size = hidden if name == "RGLRU" else 2
    torch.manual_seed(11)
    hyper = {"LMU": {"order": 2, "theta": 4.0}, "LSTMP": {"proj": 1}, "FastGRNN": {"rank": 1}}
    rnn = Recurrent(
        catalogue()[name],
        size,
        hidden,
        dtype=torch.float64,
        hyperparameters=hyper.get(name),
        init={"*": "uniform:0.7"},
        backend="reference",
    )
    lengths, time = [2, 0, 3], 3
    x = torch.randn(time, 3, size, dtype=torch.float64, requires_grad=True)
    extra = {k: v[:, :, :hidden] if v.dim() > 2 else v for k, v in streams(name, time, 3).items()}
    state = [v.requires_grad_() for v in as_tuple(rnn.initial_state(3)) if v.isfinite().all()]
    names, values = zip(*rnn.named_parameters(), strict=True)

    def run(x, *rest):
        given, replaced = rest[: len(state)], dict(zip(names, rest[len(state) :], strict=True))
        given = given if name != "sLSTM" else (*given, rnn.initial_state(3)[3])
        given = given[0] if len(given) == 1 else given
        call = (x, given), {"lengths": lengths, "streams": extra}
        y, final = torch.func.functional_call(rnn, replaced, *call)
        return y, *(v for v in as_tuple(final) if v.isfinite().all())

    arguments = (x, *state, *values)
    assert gradcheck(run, arguments, fast_mode=True)
    assert gradgradcheck(run, arguments, fast_mode=True, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_prints(name):
    step = catalogue()[name].step()
    assert format_text(step)
    assert format_latex(step)
    assert str(layer(name).plan(2, 3))


@pytest.mark.parametrize("name", NAMES)
def test_padding_never_leaks_and_every_gradient_is_finite(name):
    rnn = layer(name, bidirectional=True)
    x, extra = inputs(rnn), streams(name)
    clean, _ = rnn(x, lengths=LENGTHS, streams=extra)
    dirty = x.clone()
    for b, n in enumerate(LENGTHS):
        dirty[n:, b] = float("nan")
    dirty.requires_grad_()
    y, _ = rnn(dirty, lengths=LENGTHS, streams=extra)
    assert torch.equal(y, clean)
    y.square().sum().backward()
    assert dirty.grad is not None
    assert dirty.grad.isfinite().all()
    for b, n in enumerate(LENGTHS):
        assert not dirty.grad[n:, b].any()
    for parameter in rnn.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()
