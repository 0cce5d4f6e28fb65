"""What a stack does beside its equations: dropouts, zoneout, norms, heads, residuals, plans."""

import pytest
import torch

from elman import cells
from elman.cells import R, W, b, cell, sigmoid, tanh
from elman.nn import GRU, LSTM, RNN, Recurrent

torch.set_num_threads(1)
F, H = 4, 4
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def layer(**options):
    torch.manual_seed(0)
    return Recurrent(options.pop("cell", cells.LSTM), F, H, dtype=torch.float64, **options)


def batch(time=6, rows=5):
    torch.manual_seed(1)
    return torch.randn(time, rows, F, dtype=torch.float64)


def copied(source, **options):
    other = layer(**options)
    other.load_state_dict(source.state_dict())
    return other


@pytest.mark.parametrize("option", ["recurrent_dropout", "weight_drop", "dropout", "zoneout"])
def test_nothing_is_dropped_in_evaluation(option):
    plain = layer(depth=2).eval()
    other = copied(plain, depth=2, **{option: 0.5}).eval()
    x = batch()
    same = torch.allclose(other(x)[0], plain(x)[0])
    assert same if option != "zoneout" else not same  # zoneout takes its mean
    other.train()
    assert not torch.allclose(other(x)[0], plain(x)[0])
    assert not torch.allclose(other(x)[0], other(x)[0])


def test_dropout_between_layers_is_shared_over_time():
    torch.manual_seed(0)
    identity = Recurrent(
        cells.Elman, 50, 50, depth=2, dropout=0.4, hyperparameters={"activation": "identity"},
        init={"W.*": "identity", "R.*": 0.0, "b.*": 0.0},
    )  # fmt: skip
    x = torch.ones(7, 40, 50)
    lengths = torch.randint(1, 8, (40,))
    y, _ = identity(x, lengths=lengths)
    first = y[0]
    torch.testing.assert_close(first.unique(), torch.tensor([0.0, 1 / 0.6]))
    assert abs((first == 0).float().mean().item() - 0.4) < 0.04
    for row, n in enumerate(lengths.tolist()):
        assert torch.equal(y[:n, row], first[row].expand(n, 50))
    steps = Recurrent(
        cells.Elman, 50, 50, depth=2, dropout=0.4, dropout_kind="step",
        hyperparameters={"activation": "identity"},
        init={"W.*": "identity", "R.*": 0.0, "b.*": 0.0},
    )  # fmt: skip
    y, _ = steps(x)
    assert abs((y == 0).float().mean().item() - 0.4) < 0.02
    assert not torch.equal(y[0], y[1])


def test_recurrent_dropout_masks_the_state_with_one_mask():
    size = 40
    rnn = Recurrent(
        cells.Elman, 1, size, recurrent_dropout=0.3, hyperparameters={"activation": "identity"},
        init={"W.*": 1.0, "R.*": "identity", "b.*": 0.0},
    )  # fmt: skip
    y, _ = rnn(torch.ones(3, 30, 1))
    kept = 1 / 0.7
    second = torch.where(y[1] > 1.5, 1 + kept, 1.0)
    torch.testing.assert_close(y[1], second)
    third = torch.where(y[1] > 1.5, 1 + kept * (1 + kept), 1.0)
    torch.testing.assert_close(y[2], third)  # the same units as a step before
    assert abs((y[1] < 1.5).float().mean().item() - 0.3) < 0.05


@pytest.mark.parametrize("kind", ["recurrent", "torch"])
def test_weight_drop_touches_recurrent_matrices_only(kind):
    if kind == "torch":
        rnn = LSTM(F, H, weight_drop=1.0, dtype=torch.float64)
        bare = LSTM(F, H, dtype=torch.float64)
        bare.load_state_dict(rnn.state_dict())
        with torch.no_grad():
            bare.weight_hh_l0.zero_()
    else:
        rnn = layer(weight_drop=1.0)
        bare = copied(rnn)
        with torch.no_grad():
            for name, parameter in bare.named_parameters():
                if ".R_" in name:
                    parameter.zero_()
    torch.testing.assert_close(rnn(batch())[0], bare(batch())[0], **CLOSE)
    assert rnn.plan(2, 3).backends == ("builtin",)


@pytest.mark.parametrize("training", [True, False])
def test_zoneout_limits(training):
    x = batch()
    plain = layer()
    never = copied(plain, zoneout={"h": 0.0, "c": 0.0}).train(training)
    always = copied(plain, zoneout=1.0).train(training)
    torch.testing.assert_close(never(x)[0], plain(x)[0], **CLOSE)
    start = (torch.randn(1, 5, H, dtype=torch.float64), torch.randn(1, 5, H, dtype=torch.float64))
    y, final = always(x, start)
    torch.testing.assert_close(y, start[0].expand_as(y), **CLOSE)
    torch.testing.assert_close(final, start, **CLOSE)


def test_zoneout_keeps_at_its_rate_and_takes_the_mean():
    rnn = Recurrent(cells.GRU, 3, 60, zoneout=0.25)
    x = torch.randn(8, 20, 3)
    y, _ = rnn(x)
    kept = (y[1:] == y[:-1]).float().mean().item()
    assert abs(kept - 0.25) < 0.03
    rnn.eval()
    y, _ = rnn(x[:1])
    whole = Recurrent(cells.GRU, 3, 60)
    whole.load_state_dict(rnn.state_dict())
    torch.testing.assert_close(y, 0.75 * whole(x[:1])[0], rtol=1e-5, atol=1e-6)


def test_layer_norm_inside():
    rnn = layer(layer_norm="inside")
    names = {n.rsplit(".", 1)[1] for n, _ in rnn.named_parameters()}
    assert {"g_W_i", "g_R_o"} <= names
    with torch.no_grad():
        for parameter in rnn.parameters():
            parameter.uniform_(-1, 1)
    p = {n: v.detach() for n, v in rnn.layers[0]["forwards"].by_name().items()}
    x = batch()
    h = c = torch.zeros(5, H, dtype=torch.float64)

    def gate(k, now, h):
        def part(letter, v):
            m = v @ p[f"{letter}.{k}"].T
            m = (m - m.mean(1, keepdim=True)) / (m.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
            return p[f"g.{letter}.{k}"] * m

        return part("W", now) + part("R", h) + p[f"b.{k}"]

    y, _ = rnn(x)
    for t in range(len(x)):
        i, f, o = (torch.sigmoid(gate(k, x[t], h)) for k in "ifo")
        c = f * c + i * torch.tanh(gate("g", x[t], h))
        h = o * torch.tanh(c)
        torch.testing.assert_close(y[t], h, **CLOSE)


def test_layer_norm_inside_a_torch_layer():
    rnn = GRU(F, H, 2, bidirectional=True, layer_norm="both")
    keys = rnn.state_dict()
    assert "g_W_r_l0" in keys
    assert "g_R_n_l1_reverse" in keys
    assert "norms.0.weight" in keys
    y, _ = rnn(torch.randn(5, 3, F), lengths=[5, 2, 0])
    y.sum().backward()
    assert all(p.grad is not None for p in rnn.parameters())


def test_residual_and_sum_of_outputs():
    x = batch()
    plain = layer(depth=3)
    parts = []
    value = x
    for k in range(3):
        one = layer()
        one.load_state_dict(
            {n.replace(f"layers.{k}", "layers.0"): v for n, v in plain.state_dict().items()
             if n.startswith(f"layers.{k}.")}
        )  # fmt: skip
        parts.append((one, value := one(value)[0]))
    summed = copied(plain, depth=3, outputs="sum")
    torch.testing.assert_close(summed(x)[0], sum(v for _, v in parts), **CLOSE)
    value = x
    for one, _ in parts:
        value = value + one(value)[0]
    residual = copied(plain, depth=3, residual=True)
    torch.testing.assert_close(residual(x)[0], value, **CLOSE)


def test_heads_are_diagonal_blocks():
    torch.manual_seed(3)
    many = Recurrent(cells.LSTM, 3, 6, heads=3, dtype=torch.float64)
    assert many.layers[0]["forwards"].R_i.shape == (3, 2, 2)
    one = Recurrent(cells.LSTM, 3, 6, dtype=torch.float64)
    state = {}
    for name, value in many.state_dict().items():
        state[name] = torch.block_diag(*value) if value.dim() == 3 else value
    one.load_state_dict(state)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(many(x)[0], one(x)[0], **CLOSE)


def test_learned_initial_states():
    rnn = Recurrent(cells.sLSTM, 3, 4, depth=2, learn_initial=True, dtype=torch.float64)
    part = rnn.layers[1]["forwards"]
    assert {n for n, _ in part.named_parameters() if n.startswith("initial")} == {
        "initial_h", "initial_c", "initial_n",
    }  # fmt: skip
    lstm = LSTM(3, 4, learn_initial=True)
    with torch.no_grad():
        lstm.initial_h_l0.fill_(0.5)
    x = torch.randn(3, 2, 3)
    y, _ = lstm(x)
    again, _ = lstm(x, (torch.full((1, 2, 4), 0.5), torch.zeros(1, 2, 4)))
    torch.testing.assert_close(y, again)
    y.sum().backward()
    assert lstm.initial_c_l0.grad.abs().sum() > 0


def test_plan_names_the_backend_and_the_reasons():
    text = str(LSTM(4, 5, 2, bidirectional=True).plan(8, 20, lengths=range(1, 9)))
    assert "layer 1 backwards" in text
    assert "builtin" in text
    assert "36 real steps" in text
    plan = Recurrent(cells.MGU, 4, 5).plan(8, 20)
    assert plan.backends == ("reference",)
    assert "not builtin: its equations are none of torch's" in str(plan)
    training = LSTM(4, 5, recurrent_dropout=0.2)
    assert training.plan(2, 3).backends == ("reference",)
    assert training.eval().plan(2, 3).backends == ("builtin",)
    assert LSTM(4, 5, backend="reference").plan(2, 3).backends == ("reference",)


def test_a_cell_of_the_users_own_that_is_an_lstm_runs_builtin():
    @cell
    def Mine(signal, /, out, memory):
        write = sigmoid(b.write + R.write @ out + W.write @ signal)
        keep = sigmoid(W.keep @ signal + b.keep + R.keep @ out)
        show = sigmoid(W.show @ signal + R.show @ out + b.show)
        memory = tanh(R.new @ out + W.new @ signal + b.new) * write + memory * keep
        return tanh(memory) * show, memory

    torch.manual_seed(0)
    rnn = Recurrent(Mine, 3, 4, depth=2, bidirectional=True, dtype=torch.float64)
    assert rnn.plan(2, 3).backends == ("builtin",)
    slow = Recurrent(
        Mine, 3, 4, depth=2, bidirectional=True, dtype=torch.float64, backend="reference"
    )
    slow.load_state_dict(rnn.state_dict())
    x = torch.randn(5, 4, 3, dtype=torch.float64)
    lengths = [5, 0, 3, 4]
    results = []
    for module in (rnn, slow):
        y, state = module(x, lengths=lengths)
        loss = y.square().sum() + state[1].sum()
        results.append([y, *state, *torch.autograd.grad(loss, list(module.parameters()))])
    torch.testing.assert_close(*results, **CLOSE)


def test_an_rnn_with_an_unusual_nonlinearity_runs_the_reference():
    assert RNN(3, 4, nonlinearity="sigmoid").plan(2, 3).backends == ("reference",)
    assert RNN(3, 4, nonlinearity="relu").plan(2, 3).backends == ("builtin",)


def test_autocast_runs():
    rnn = LSTM(4, 5, 2, bidirectional=True)
    slow = Recurrent(cells.MGU, 4, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for module in (rnn, slow):
            y, _ = module(torch.randn(6, 3, 4), lengths=[6, 2, 0])
            y.float().sum().backward()
    assert all(p.grad.isfinite().all() for p in rnn.parameters())


def test_functional_transforms():
    rnn = Recurrent(cells.GRU, 3, 4, backend="reference", dtype=torch.float64)
    x = torch.randn(4, 2, 3, dtype=torch.float64)

    def loss(parameters):
        y, _ = torch.func.functional_call(rnn, parameters, (x,), {"lengths": [4, 2]})
        return y.square().sum()

    parameters = {n: v.detach() for n, v in rnn.named_parameters()}
    got = torch.func.grad(loss)(parameters)
    y, _ = rnn(x, lengths=[4, 2])
    wanted = torch.autograd.grad(y.square().sum(), list(rnn.parameters()))
    torch.testing.assert_close(tuple(got.values()), wanted, **CLOSE)
