"""elman: recurrent networks, from the equations to a trained, measured and explained model.

The public names are imported when they are first used, so that `import elman` takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman import cells as cells
    from elman import compiler as compiler
    from elman import data as data
    from elman import decoding as decoding
    from elman import diagnostics as diagnostics
    from elman import kernels as kernels
    from elman import metrics as metrics
    from elman import nn as nn
    from elman import tasks as tasks
    from elman import training as training
    from elman.cells import cell as cell
    from elman.diagnostics import check_cell as check_cell
    from elman.errors import ElmanError as ElmanError
    from elman.nn import GRU as GRU
    from elman.nn import LSTM as LSTM
    from elman.nn import RNN as RNN
    from elman.nn import GRUCell as GRUCell
    from elman.nn import LSTMCell as LSTMCell
    from elman.nn import Recurrent as Recurrent
    from elman.nn import RNNCell as RNNCell
    from elman.nn import accelerate as accelerate
    from elman.tasks import Classifier as Classifier
    from elman.tasks import LanguageModel as LanguageModel
    from elman.tasks import load as load

__version__ = "0.1.0"

_HOMES = {
    "Classifier": "elman.tasks",
    "LanguageModel": "elman.tasks",
    "load": "elman.tasks",
    "Recurrent": "elman.nn",
    "RNN": "elman.nn",
    "LSTM": "elman.nn",
    "GRU": "elman.nn",
    "RNNCell": "elman.nn",
    "LSTMCell": "elman.nn",
    "GRUCell": "elman.nn",
    "accelerate": "elman.nn",
    "cell": "elman.cells",
    "check_cell": "elman.diagnostics",
    "ElmanError": "elman.errors",
}
_ROOMS = frozenset(
    (
        "cells",
        "compiler",
        "data",
        "decoding",
        "diagnostics",
        "errors",
        "files",
        "kernels",
        "metrics",
        "nn",
        "tasks",
        "training",
    )
)

__all__ = [*_HOMES, "__version__"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Imports a public name, or a room, when it is first asked for (PEP 562)."""
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    elif name in _ROOMS:
        value = import_module(f"elman.{name}")
    else:
        raise AttributeError(f"module 'elman' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_ROOMS})
