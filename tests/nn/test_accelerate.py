"""`accelerate`: an existing model computes the same with elman's layers in it."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import elman.nn as enn

torch.set_num_threads(1)


class Tutorial(nn.Module):
    """The sentiment classifier of the tutorials, with packing inside."""

    def __init__(self, kind):
        super().__init__()
        self.embedding = nn.Embedding(20, 6)
        self.rnn = getattr(nn, kind)(6, 5, num_layers=2, bidirectional=True, dropout=0.5)
        self.last = nn.ModuleDict({"cell": getattr(nn, f"{kind}Cell")(10, 4)})
        self.out = nn.Linear(10 + 4, 1)

    def forward(self, ids, lengths):
        packed = pack_padded_sequence(self.embedding(ids), lengths, enforce_sorted=False)
        y, state = self.rnn(packed)
        h = state[0] if isinstance(state, tuple) else state
        top = torch.cat([h[-2], h[-1]], dim=1)
        y, _ = pad_packed_sequence(y)
        after = self.last["cell"](y.sum(dim=0))
        after = after[0] if isinstance(after, tuple) else after
        return self.out(torch.cat([top, after], dim=1)).squeeze(1)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_tutorial_model(kind):
    torch.manual_seed(0)
    model = Tutorial(kind).double().eval()
    ids, lengths = torch.randint(0, 20, (7, 4)), torch.tensor([3, 7, 1, 5])
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    wanted = model(ids, lengths)
    keys, parameters = list(model.state_dict()), list(model.parameters())
    report = enn.accelerate(model)
    assert report.model is model
    assert isinstance(model.rnn, getattr(enn, kind))
    assert not model.rnn.training
    assert isinstance(model.last["cell"], getattr(enn, f"{kind}Cell"))
    assert set(report.changed) == {"rnn", "last.cell"}
    assert "2 of 2 recurrent layers were replaced" in str(report)
    got = model(ids, lengths)
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)
    assert list(model.state_dict()) == keys
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    before = model.rnn.weight_hh_l1.detach().clone()
    got.sum().backward()
    optimiser.step()
    assert not torch.equal(model.rnn.weight_hh_l1, before)
    assert enn.accelerate(model).changes == ()


def test_shared_layers_hooks_and_what_is_left_alone():
    class Own(nn.LSTM):
        pass

    lstm = nn.LSTM(3, 3)
    calls = []
    lstm.register_forward_hook(lambda *_: calls.append(1))
    dropped = nn.GRU(3, 3)
    nn.utils.parametrize.register_parametrization(dropped, "weight_hh_l0", enn.WeightDrop(0.5))
    model = nn.ModuleList([lstm, lstm, Own(3, 3), dropped, nn.Linear(3, 3)])
    report = enn.accelerate(model)
    assert isinstance(model[0], enn.LSTM)
    assert model[0] is model[1]
    assert type(model[2]) is Own
    assert isinstance(model[3], nn.GRU)
    assert len(report.changed) == 1
    assert "subclass" in str(report)
    assert "parametrised" in str(report)
    model[0](torch.zeros(2, 1, 3))
    assert calls == [1]
    alone = enn.accelerate(nn.LSTM(3, 4, proj_size=2, bias=False))
    assert isinstance(alone.model, enn.LSTM)
    assert alone.model.proj_size == 2
    assert "No recurrent layer" in str(enn.accelerate(nn.Linear(2, 2)))
