"""What cannot be used is refused with a sentence that says what was got and what was wanted."""

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from elman import cells
from elman.errors import CellError, ConfigError, ShapeError
from elman.nn import GRU, LSTM, RNN, GRUCell, LSTMCell, Recurrent, RNNCell, initialisers

torch.set_num_threads(1)
LAYER = LSTM(3, 4)
X = torch.zeros(5, 2, 3)
H = torch.zeros(1, 2, 4)
ROWS = pack_sequence([torch.zeros(2, 3)])

CALLS = {
    "no step": (lambda: LAYER(torch.zeros(0, 2, 3)), "without a time step"),
    "features": (lambda: LAYER(torch.zeros(5, 2, 7)), "7 features, wanted the layer's 3"),
    "dimensions": (lambda: LAYER(torch.zeros(5)), r"shape \(5,\), wanted \(time, batch, 3\)"),
    "dtype": (lambda: LAYER(X.double()), "float64, wanted the layer's torch.float32"),
    "integers": (lambda: LAYER(X.long()), "int64"),
    "device": (lambda: LAYER(X.to("meta")), "meta"),
    "no tensor": (lambda: LAYER([[1.0]]), "got list as input"),
    "too long": (lambda: LAYER(X, lengths=[5, 6]), "length 6 in row 1, wanted at most the 5"),
    "negative": (lambda: LAYER(X, lengths=[5, -1]), "length -1 in row 1"),
    "float lengths": (lambda: LAYER(X, lengths=torch.tensor([5.0, 1.0])), "wanted integers"),
    "bool lengths": (lambda: LAYER(X, lengths=torch.tensor([True, True])), "wanted integers"),
    "lengths' shape": (lambda: LAYER(X, lengths=[5, 1, 2]), r"shape \(3,\), wanted \(2,\)"),
    "mask's shape": (lambda: LAYER(X, mask=torch.ones(2, 5)), r"\(2, 5\), wanted \(5, 2\)"),
    "mask's values": (lambda: LAYER(X, mask=torch.full((5, 2), 0.5)), "beside 0 and 1"),
    "both": (lambda: LAYER(X, lengths=[1, 2], mask=torch.ones(5, 2)), "wanted one of them"),
    "packed": (lambda: LAYER(ROWS, lengths=[2]), "knows its lengths"),
    "packed size": (lambda: LSTM(4, 4)(ROWS), "3 features, wanted the layer's 4"),
    "strided": (lambda: LAYER(torch.nested.nested_tensor([X[:, 0]])), "wanted a jagged one"),
    "one state": (lambda: LAYER(X, H), r"1 tensors, wanted 2 \(h, c\)"),
    "state's shape": (lambda: LAYER(X, (H[:, :1], H)), r"state h of shape \(1, 1, 4\), wanted"),
    "state's dtype": (lambda: LAYER(X, (H, H.double())), "the state c of dtype torch.float64"),
    "layers of state": (lambda: LSTM(3, 4, 2)(X, (H, H)), r"wanted \(2, 2, 4\)"),
    "resets": (lambda: LAYER(X, resets=torch.zeros(2, 5).bool()), "resets of shape"),
    "resets' size": (lambda: LAYER(X, resets=X.bool()), "3 features, wanted one mark a step"),
    "no lengths": (lambda: LAYER(X, lengths=["a", "b"]), r"lengths \['a', 'b'\], wanted integers"),
    "no mask": (lambda: LAYER(X, mask=[[1, 1]] * 5), "got list as a mask"),
    "no state": (lambda: LAYER(X, (None, None)), "got NoneType as the state h"),
    "a number": (lambda: LAYER(X, 3), "got int as the state"),
    "resets' type": (lambda: LAYER(X, resets=[0]), "got list for resets"),
    "stream": (lambda: LAYER(X, streams={"t": X}), 'stream "t"; LSTM has none'),
    "missing": (lambda: Recurrent(cells.PhasedLSTM, 3, 4)(X), 'needs the stream "t"'),
    "stream's size": (
        lambda: Recurrent(cells.ZoneoutGRU, 3, 4)(X, streams={"keep": X}),
        "3 features, wanted 4, or 1 for all units",
    ),
    "two ways": (lambda: LSTM(3, 4, bidirectional=True).step(X[0]), "no single step"),
    "step": (lambda: LAYER.step(torch.zeros(2, 5)), r"shape \(2, 5\), wanted \(batch, 3\)"),
    "cell": (lambda: GRUCell(3, 4)(torch.zeros(2, 5)), r"wanted \(batch, 3\)"),
    "cell's state": (lambda: RNNCell(3, 4)(X[0], H), "state h of shape"),
    "cell's pair": (lambda: LSTMCell(3, 4)(X[0], H[0]), r"wanted \(h, c\)"),
    "planned": (lambda: LAYER.plan(2, 3, lengths=[4, 1]), "at most the 3 steps"),
}

MAKERS = {
    "input": (lambda: LSTM(0, 4), ConfigError, "input_size: got 0"),
    "hidden": (lambda: LSTM(3, 2.5), ConfigError, "hidden_size: got 2.5"),
    "depth": (lambda: Recurrent(cells.GRU, 3, 4, depth=0), ConfigError, "depth: got 0"),
    "dropout": (lambda: LSTM(3, 4, 2, dropout=1.5), ConfigError, "dropout: got 1.5"),
    "kind": (
        lambda: Recurrent(cells.GRU, 3, 4, dropout_kind="share"),
        ConfigError,
        'Did you mean "shared"',
    ),
    "outputs": (lambda: Recurrent(cells.GRU, 3, 4, outputs="all"), ConfigError, "outputs"),
    "norm": (lambda: GRU(3, 4, layer_norm="insde"), ConfigError, 'Did you mean "inside"'),
    "backend": (lambda: GRU(3, 4, backend="buildin"), ConfigError, 'Did you mean "builtin"'),
    "option": (lambda: GRU(3, 4, zone_out=0.1), ConfigError, 'Did you mean "zoneout"'),
    "zoneout": (lambda: Recurrent(cells.sLSTM, 3, 4, zoneout=0.1), CellError, "zoneout"),
    "rates": (lambda: GRU(3, 4, zoneout={"c": 0.1}), ConfigError, 'no state "c"'),
    "heads": (lambda: Recurrent(cells.LSTM, 3, 5, heads=2), ConfigError, "2 heads do not divide"),
    "no heads": (lambda: Recurrent(cells.LSTM, 3, 5, heads=0), ConfigError, "heads: got 0"),
    "sizes": (lambda: Recurrent(cells.RGLRU, 3, 4), CellError, "RGLRU needs the"),
    "residual": (lambda: GRU(3, 4, residual=True), ConfigError, "residual"),
    "sums": (
        lambda: Recurrent(cells.GRU, 3, 4, hyperparameters={"beta": 1}),
        CellError,
        "beta",
    ),
    "projection": (lambda: LSTM(3, 4, proj_size=4), ConfigError, "less than hidden_size"),
    "nonlinearity": (lambda: RNN(3, 4, nonlinearity="tahn"), ConfigError, 'mean "tanh"'),
    "reset": (lambda: GRU(3, 4, reset="behind"), ConfigError, "reset"),
    "preset": (lambda: LSTM(3, 4, init="ortogonal"), ConfigError, 'mean "orthogonal"'),
    "glob": (lambda: LSTM(3, 4, init={"Q.*": 1.0}), ConfigError, '"Q.*" is none'),
    "name": (lambda: LSTM(3, 4, init={"R.*": "gloro"}), ConfigError, 'mean "glorot"'),
    "arguments": (lambda: LSTM(3, 4, init={"R.*": "normal:x"}), ConfigError, "do not fit"),
    "vector": (lambda: LSTM(3, 4, init={"b.*": "orthogonal"}), ConfigError, "vector"),
    "no gate": (lambda: RNN(3, 4, init="forget_bias"), ConfigError, "has neither"),
}


@pytest.mark.parametrize("case", sorted(CALLS))
def test_calls(case):
    call, words = CALLS[case]
    with pytest.raises(ShapeError, match=words):
        call()


@pytest.mark.parametrize("case", sorted(MAKERS))
def test_makers(case):
    make, kind, words = MAKERS[case]
    with pytest.raises(kind) as caught:
        make()
    assert words in str(caught.value)


def test_a_backend_that_cannot():
    rnn = Recurrent(cells.MGU, 3, 4, backend="builtin")
    for call in (lambda: rnn(X), lambda: rnn.plan(2, 3)):
        with pytest.raises(ConfigError, match="cannot run MGU: its equations are none of"):
            call()


def test_torchs_warning_about_dropout_on_one_layer():
    with pytest.warns(UserWarning, match="dropout acts between layers"):
        LSTM(3, 4, dropout=0.5)


def test_fill_refuses_an_unknown_name():
    with pytest.raises(ConfigError, match="no initialiser"):
        initialisers.fill(torch.zeros(2), "nothing", hidden_size=2)
