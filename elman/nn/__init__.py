"""torch modules: the one place where a cell meets a kernel.

`Recurrent(cell, ...)` makes a layer of any cell; `RNN`, `LSTM`, `GRU` and their cells take torch's
arguments, calls and checkpoints; `accelerate` swaps them into an existing model.
"""

from elman.nn.accelerate import Change, Report, accelerate
from elman.nn.attention import WindowAttention
from elman.nn.block import Deep
from elman.nn.dropout import EmbeddingDropout, SharedDropout, WeightDrop, WordDropout
from elman.nn.options import Options
from elman.nn.plans import StackPlan
from elman.nn.pooling import Pooling
from elman.nn.recurrent import CellParameters, Recurrent
from elman.nn.stack import Stack
from elman.nn.stream import Stream
from elman.nn.tapered import Tapered
from elman.nn.torch_cells import GRUCell, LSTMCell, RNNCell
from elman.nn.torch_layers import GRU, LSTM, RNN

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "CellParameters",
    "Change",
    "Deep",
    "EmbeddingDropout",
    "GRUCell",
    "LSTMCell",
    "Options",
    "Pooling",
    "RNNCell",
    "Recurrent",
    "Report",
    "SharedDropout",
    "Stack",
    "StackPlan",
    "Stream",
    "Tapered",
    "WeightDrop",
    "WindowAttention",
    "WordDropout",
    "accelerate",
]  # fmt: skip
