"""`RNN`, `LSTM` and `GRU`: torch.nn's constructors, calls, results and state_dict, and more.

A checkpoint of torch's layers loads into these and back. Beside torch's arguments they take those
of `Recurrent` by keyword, more nonlinearities for the RNN, and for the GRU the place of the reset.
"""

from __future__ import annotations

from typing import Any

import torch

from elman import cells
from elman.cells import Cell
from elman.errors import ConfigError, did_you_mean
from elman.nn.initialisers import Init
from elman.nn.torch_storage import TorchLayer

NONLINEARITIES = ("tanh", "relu", "leaky_relu", "sigmoid", "identity")


class RNN(TorchLayer):
    """torch.nn.RNN: its arguments, call, results and state_dict.

    Args:
        nonlinearity: "tanh", "relu", "leaky_relu", "sigmoid" or "identity".
        init: as `Recurrent`; None: torch's.
        options: `dropout_kind`, `recurrent_dropout`, `weight_drop`, `zoneout`, `layer_norm`,
            `residual`, `outputs`, `learn_initial`, `backend` of `Recurrent`.

    `y, h = rnn(x, h0, lengths=n)`: beside torch's forms it takes everything that `Recurrent` does.
    """

    gates = "h"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        init: Init = None,
        **options: Any,
    ) -> None:
        check_nonlinearity(nonlinearity)
        super().__init__(
            cells.Elman,
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            hyperparameters={"activation": nonlinearity},
            init=init,
            device=device,
            dtype=dtype,
            options=options,
        )
        self.nonlinearity = nonlinearity
        self.mode = f"RNN_{nonlinearity.upper()}"


def check_nonlinearity(name: str) -> str:
    """The name of a nonlinearity that an RNN may have.

    Raises:
        ConfigError: it is none of them.
    """
    if name not in NONLINEARITIES:
        hint = did_you_mean(str(name), NONLINEARITIES)
        raise ConfigError(f"got {name!r}.", where="nonlinearity", hint=hint)
    return name


class LSTM(TorchLayer):
    """torch.nn.LSTM: its arguments (`proj_size` too), call, results and state_dict.

    Args:
        init: as `Recurrent`; None: torch's.
        options: `dropout_kind`, `recurrent_dropout`, `weight_drop`, `zoneout`, `layer_norm`,
            `residual`, `outputs`, `learn_initial`, `backend` of `Recurrent`.

    `y, (h, c) = lstm(x, (h0, c0), lengths=n)`: beside torch's forms it takes everything that
    `Recurrent` does.
    """

    gates = "ifgo"
    mode = "LSTM"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        init: Init = None,
        **options: Any,
    ) -> None:
        if proj_size < 0 or proj_size >= hidden_size:
            raise ConfigError(
                f"got {proj_size}, wanted 0 (none) or less than hidden_size ({hidden_size}).",
                where="proj_size",
            )
        super().__init__(
            cells.LSTMP if proj_size else cells.LSTM,
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            hyperparameters={"proj": proj_size} if proj_size else {},
            init=init,
            device=device,
            dtype=dtype,
            options=options,
        )


class GRU(TorchLayer):
    """torch.nn.GRU: its arguments, call, results and state_dict.

    Args:
        reset: "after": the reset gate acts behind the product, as in torch and cuDNN; "before":
            in front of it, as in Cho et al. 2014 (there the second bias of the gate n has no
            place of its own and is added to the first).
        init: as `Recurrent`; None: torch's.
        options: `dropout_kind`, `recurrent_dropout`, `weight_drop`, `zoneout`, `layer_norm`,
            `residual`, `outputs`, `learn_initial`, `backend` of `Recurrent`.

    `y, h = gru(x, h0, lengths=n)`: beside torch's forms it takes everything that `Recurrent` does.
    """

    gates = "rzn"
    mode = "GRU"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        reset: str = "after",
        init: Init = None,
        **options: Any,
    ) -> None:
        cell = gru_cell(reset)
        super().__init__(
            cell,
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            hyperparameters={},
            init=init,
            device=device,
            dtype=dtype,
            options=options,
        )
        self.reset = reset

    @property
    def apart(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The gate whose second bias stands apart."""
        return "n" if self.base_step.name.startswith(cells.GRUResetAfter.name) else ""


def gru_cell(reset: str) -> Cell:
    """The equations with the reset gate "after" or "before" the product.

    Raises:
        ConfigError: another word.
    """
    known = {"after": cells.GRUResetAfter, "before": cells.GRUResetBefore}
    if reset not in known:
        raise ConfigError(f"got {reset!r}.", where="reset", hint=did_you_mean(str(reset), known))
    return known[reset]
