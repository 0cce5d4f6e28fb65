"""Initialisers and dropout modules: what they fill and drop, and how much."""

import math

import pytest
import torch

from elman import cells
from elman.errors import ConfigError
from elman.nn import (
    GRU,
    LSTM,
    EmbeddingDropout,
    Recurrent,
    SharedDropout,
    WeightDrop,
    WordDropout,
)
from elman.nn.initialisers import fill

torch.set_num_threads(1)


def filled(name, *shape, hidden=16):
    torch.manual_seed(0)
    value = torch.full(shape, float("nan"))
    fill(value, name, hidden_size=hidden)
    return value


def test_by_name():
    assert filled("uniform", 100, 20).abs().max() <= 0.25
    assert filled("uniform:2", 1000).abs().max() > 1.9
    between = filled("uniform:1:3", 1000)
    assert between.min() >= 1
    assert 2.9 < between.max() <= 3
    assert filled("glorot", 30, 20).abs().max() <= math.sqrt(6 / 50)
    assert abs(filled("he", 300, 50).std() - math.sqrt(2 / 50)) < 0.01
    assert abs(filled("normal:3", 10_000).std() - 3) < 0.1
    square = filled("orthogonal:2", 8, 8)
    torch.testing.assert_close(square @ square.T, 4 * torch.eye(8), rtol=1e-5, atol=1e-5)
    blocks = filled("orthogonal", 2, 4, 4)
    torch.testing.assert_close(blocks @ blocks.mT, torch.eye(4).expand(2, 4, 4))
    assert torch.equal(filled("identity:0.5", 3, 3), 0.5 * torch.eye(3))
    assert torch.equal(filled("constant:7", 3), torch.full((3,), 7.0))
    assert not filled("zeros", 3).any()
    assert filled("ones", 3).all()
    logs = filled("log-uniform:0.1:10", 10_000).log()
    assert logs.min() >= math.log(0.1)
    assert logs.max() <= math.log(10)
    assert abs(logs.mean()) < 0.05
    chrono = filled("chrono:100", 10_000)
    assert chrono.min() >= 0
    assert chrono.max() <= math.log(99)
    assert abs(chrono.exp().mean() - 50) < 1
    assert filled(3, 2).tolist() == [3, 3]
    assert filled(lambda v: v.fill_(2), 2).tolist() == [2, 2]


def test_defaults_and_globs_of_a_layer():
    rnn = Recurrent(cells.LSTM, 5, 6, depth=2, init={"b.o": 0.25, "W.g": "zeros"})
    part = rnn.layers[1]["forwards"]
    torch.testing.assert_close(part.R_i @ part.R_i.T, torch.eye(6), rtol=1e-5, atol=1e-5)
    assert part.b_f.eq(1).all()
    assert part.b_o.eq(0.25).all()
    assert part.b_g.eq(0).all()
    assert part.W_g.eq(0).all()
    assert part.W_i.abs().max() <= math.sqrt(6 / 12)


def test_a_phased_lstm_opens_at_all_times():
    """Neil et al. 2016: periods exp(U(0, 3)), shifts anywhere within them."""
    torch.manual_seed(1)
    part = Recurrent(cells.PhasedLSTM, 5, 4000).layers[0]["forwards"]
    logs, shifts = part.u_logtau.detach(), part.u_s.detach()
    assert logs.min() >= 0
    assert logs.max() <= 3
    assert abs(logs.mean() - 1.5) < 0.05  # the mean of U(0, 3)
    phases = shifts / logs.exp()
    assert phases.min() >= 0
    assert phases.max() <= 1
    shares = torch.histc(phases, bins=10, min=0, max=1) / 4000
    assert (shares - 0.1).abs().max() < 0.02


def test_shifts_follow_the_periods_of_the_user():
    part = Recurrent(cells.PhasedLSTM, 5, 400, init={"u.logtau": 6.0}).layers[0]["forwards"]
    assert part.u_s.min() >= 0
    assert part.u_s.max() <= math.exp(6) * (1 + 1e-6)
    assert part.u_s.mean() > 150
    part = Recurrent(cells.PhasedLSTM, 5, 4, init={"u.s": 0.5}).layers[0]["forwards"]
    assert part.u_s.eq(0.5).all()
    for wrong in ("within:u.tau", "within", "within:u.s"):
        with pytest.raises(ConfigError, match=r"init: .*within"):
            Recurrent(cells.PhasedLSTM, 5, 4, init={"u.s": wrong})


@pytest.mark.parametrize("wrong", ["uniform:2:1", "uniform:-1", "log-uniform:2:1"])
def test_bounds_the_wrong_way_round(wrong):
    with pytest.raises(ConfigError, match=r"init: .*uniform wants"):
        filled(wrong, 3)


def test_presets():
    torch.manual_seed(1)
    part = Recurrent(cells.LSTM, 5, 400, init="chrono:50").layers[0]["forwards"]
    assert torch.equal(part.b_i, -part.b_f)
    assert part.b_f.exp().mean() > 20
    part = Recurrent(cells.GRU, 5, 40, init="glorot+forget_bias:2").layers[0]["forwards"]
    assert part.b_z.eq(2).all()
    assert part.b_r.eq(0).all()
    part = Recurrent(cells.Elman, 5, 40, init="identity").layers[0]["forwards"]
    assert torch.equal(part.R_h, torch.eye(40))
    part = Recurrent(cells.Elman, 5, 25, init="uniform").layers[0]["forwards"]
    assert part.b_h.abs().max() <= 0.2
    assert part.b_h.abs().max() > 0.1


def test_torch_layers_keep_torchs_start_unless_asked():
    torch.manual_seed(1)
    plain = LSTM(5, 6)
    torch.manual_seed(1)
    asked = LSTM(5, 6, init="forget_bias")
    for name, value in plain.state_dict().items():
        other = asked.state_dict()[name]
        if name.startswith("weight"):
            assert torch.equal(value, other)
            continue
        keep = torch.ones(24, dtype=torch.bool)
        keep[6:12] = False
        assert torch.equal(value[keep], other[keep])
        assert other[6:12].eq(1.0 if name == "bias_ih_l0" else 0.0).all()
    gru = GRU(5, 6, 2, init={"u.n": 3.0, "R.*": "orthogonal"})
    assert gru.bias_hh_l1[12:].eq(3).all()
    assert gru.bias_ih_l1[12:].ne(3).all()
    r = gru.weight_hh_l1[:6]
    torch.testing.assert_close(r @ r.T, torch.eye(6), rtol=1e-5, atol=1e-5)
    zeros = GRU(5, 6, init={"*": 0.0})
    assert not any(value.any() for value in zeros.parameters())
    bare = LSTM(5, 6, bias=False, init={"R.g": 0.0})
    assert not bare.weight_hh_l0[12:18].any()
    assert bare.weight_hh_l0[:12].all()


def test_shared_dropout():
    torch.manual_seed(0)
    drop = SharedDropout(0.3)
    y = drop(torch.ones(6, 50, 40))
    assert torch.equal(y, y[0].expand_as(y))
    assert abs((y == 0).float().mean() - 0.3) < 0.03
    assert y.max() == pytest.approx(1 / 0.7)
    first = SharedDropout(0.3, batch_first=True)(torch.ones(50, 6, 40))
    assert torch.equal(first, first[:, :1].expand_as(first))
    assert not SharedDropout(1.0)(torch.ones(2, 2, 2)).any()
    assert torch.equal(drop.eval()(y), y)


def test_word_and_embedding_dropout():
    torch.manual_seed(0)
    ids = torch.randint(0, 50, (30, 40))
    words = WordDropout(0.2)
    changed = words(ids)
    assert torch.equal(changed[ids == 0], ids[ids == 0])
    drawn = ids > 1
    assert abs((changed[drawn] == 1).float().mean() - 0.2) < 0.03
    assert torch.equal(changed[drawn & (changed != 1)], ids[drawn & (changed != 1)])
    assert torch.equal(words.eval()(ids), ids)
    embedding = torch.nn.Embedding(50, 4)
    drop = EmbeddingDropout(0.4)
    vectors = drop(embedding, ids)
    gone = (vectors == 0).all(dim=2)
    for word in range(50):
        assert gone[ids == word].unique().numel() <= 1
    torch.testing.assert_close(vectors[~gone], embedding(ids)[~gone] / 0.6)
    assert torch.equal(drop.eval()(embedding, ids), embedding(ids))


def test_weight_drop_as_a_parametrisation():
    torch.manual_seed(0)
    linear = torch.nn.Linear(30, 30)
    torch.nn.utils.parametrize.register_parametrization(linear, "weight", WeightDrop(0.5))
    assert abs((linear.weight == 0).float().mean() - 0.5) < 0.08
    assert linear.eval().weight.ne(0).all()
