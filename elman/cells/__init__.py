"""The cells: the words of the notation and the catalogue. Equations and nothing else.

A cell is a function of its inputs and states; the layer `elman.nn.Recurrent` runs it:

    from elman.cells import W, R, b, cell, tanh

    @cell
    def Mine(x, /, h):
        return tanh(W.h @ x + R.h @ h + b.h)
"""

from __future__ import annotations

from elman.cells.gru import JANET, MGU, RHN, FastGRNN, GRUResetAfter, GRUResetBefore, ZoneoutGRU
from elman.cells.linear import QRNN, RGLRU, SRU, ComplexLRU, minGRU, minLSTM
from elman.cells.lstm import (
    LSTM,
    LSTMP,
    CoupledLSTM,
    LayerNormLSTM,
    MultiplicativeLSTM,
    PeepholeLSTM,
)
from elman.cells.memory import LMU, ClockworkRNN, PhasedLSTM, sLSTM
from elman.cells.notation import (
    ACTIVATIONS,
    Cell,
    Parameters,
    R,
    U,
    V,
    W,
    a,
    abs,
    activate,
    b,
    cell,
    const,
    cos,
    exp,
    expm1,
    identity,
    leaky_relu,
    log,
    log1p,
    logsigmoid,
    maximum,
    mean,
    minimum,
    norm,
    p,
    params,
    relu,
    sigmoid,
    silu,
    sin,
    softplus,
    sqrt,
    square,
    sum,
    tanh,
    u,
    where,
)
from elman.cells.oscillator import LEM, UnICORNN, coRNN
from elman.cells.simple import IRNN, AntisymmetricRNN, Elman, IndRNN, Jordan
from elman.errors import CellError, did_you_mean

GRU = GRUResetAfter
"""torch's and cuDNN's GRU."""

_CATALOGUE: tuple[Cell, ...] = (
    Elman, Jordan, IRNN, IndRNN, AntisymmetricRNN,
    LSTM, PeepholeLSTM, CoupledLSTM, LSTMP, MultiplicativeLSTM, LayerNormLSTM, sLSTM, PhasedLSTM,
    GRUResetAfter, GRUResetBefore, ZoneoutGRU, MGU, JANET, FastGRNN, RHN,
    minGRU, minLSTM, RGLRU, QRNN, SRU, ComplexLRU,
    coRNN, UnICORNN, LEM, LMU, ClockworkRNN,
)  # fmt: skip

_ALIASES = {"gru": "GRUResetAfter", "rnn": "Elman", "lru": "ComplexLRU", "cifg": "CoupledLSTM"}


def catalogue() -> dict[str, Cell]:
    """The cells that come with elman, by name."""
    return {entry.name: entry for entry in _CATALOGUE}


def find(name: str) -> Cell:
    """The cell of the catalogue called `name`, in capitals or not; "gru" is `GRUResetAfter`.

    Raises:
        CellError: there is none; the nearest name is offered.
    """
    folded = {known.casefold(): known for known in catalogue()} | _ALIASES
    known = folded.get(name.casefold())
    if known is None:
        names = [*catalogue(), "GRU"]
        raise CellError(f"There is no cell called {name!r}.", hint=did_you_mean(name, names))
    return catalogue()[known]


__all__ = [
    "ACTIVATIONS", "GRU", "IRNN", "JANET", "LEM", "LMU", "LSTM", "LSTMP", "MGU", "QRNN", "RGLRU",
    "RHN", "SRU", "AntisymmetricRNN", "Cell", "ClockworkRNN", "ComplexLRU", "CoupledLSTM",
    "Elman", "FastGRNN", "GRUResetAfter", "GRUResetBefore", "IndRNN", "Jordan", "LayerNormLSTM",
    "MultiplicativeLSTM", "Parameters", "PeepholeLSTM", "PhasedLSTM", "R", "U", "UnICORNN", "V",
    "W", "ZoneoutGRU", "a", "abs", "activate", "b", "catalogue", "cell", "coRNN", "const", "cos",
    "exp", "expm1", "find", "identity", "leaky_relu", "log", "log1p", "logsigmoid", "maximum",
    "mean", "minGRU", "minLSTM", "minimum", "norm", "p", "params", "relu", "sLSTM", "sigmoid",
    "silu", "sin", "softplus", "sqrt", "square", "sum", "tanh", "u", "where",
]  # fmt: skip
