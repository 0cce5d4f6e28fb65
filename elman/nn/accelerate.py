"""`accelerate(model)`: torch's recurrent layers in an existing model become elman's, in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.utils import parametrize as torch_parametrize

from elman.nn import torch_cells, torch_layers


@dataclass(frozen=True)
class Change:
    """One layer: its name in the model, what it was, and what happened to it."""

    name: str
    was: str
    done: str
    changed: bool


@dataclass(frozen=True)
class Report:
    """What `accelerate` did; `print(report)` says it in words."""

    model: nn.Module
    changes: tuple[Change, ...]

    @property
    def changed(self) -> tuple[str, ...]:
        """The names of the replaced layers."""
        return tuple(change.name for change in self.changes if change.changed)

    def __str__(self) -> str:
        if not self.changes:
            return "No recurrent layer of torch.nn was found; nothing was changed."
        lines = [f"{len(self.changed)} of {len(self.changes)} recurrent layers were replaced:"]
        lines += [f"  {c.name or '(the model)'}: {c.was} -> {c.done}" for c in self.changes]
        return "\n".join(lines)


def accelerate(model: nn.Module) -> Report:
    """Replaces every torch.nn RNN, LSTM, GRU and their cells in `model` by elman's, in place.

    The parameters stay the same objects (optimisers and ties keep working), the state_dict and
    the results stay, hooks and the training flag too. A subclass is left alone, for what it adds
    is unknown. When the model itself is such a layer, take `report.model`.
    """
    changes: list[Change] = []
    done: dict[int, nn.Module] = {}
    replacement = _replace(model, "", changes, done)
    for name, module in list(model.named_modules()):
        # Not named_children: it names a module that stands in two places once.
        for child_name, child in list(module._modules.items()):
            if child is None:
                continue
            full = f"{name}.{child_name}" if name else child_name
            new = _replace(child, full, changes, done)
            if new is not child:
                setattr(module, child_name, new)
    return Report(replacement, tuple(changes))


def _replace(
    module: nn.Module, name: str, changes: list[Change], done: dict[int, nn.Module]
) -> nn.Module:
    if id(module) in done:
        return done[id(module)]
    make = _MAKERS.get(type(module))
    if make is None:
        if isinstance(module, nn.RNNBase | nn.RNNCellBase):
            kind = type(module).__name__
            parametrised = torch_parametrize.is_parametrized(module)
            reason = "its weights are parametrised" if parametrised else "it is a subclass"
            changes.append(Change(name, kind, f"left alone, {reason}", False))
        return module
    reason = _refusal(module)
    if reason:
        changes.append(Change(name, repr(module), f"left alone, {reason}", False))
        return module
    new = make(module)
    _take_over(module, new)
    done[id(module)] = new
    done[id(new)] = new
    changes.append(Change(name, repr(module), f"elman.nn.{new!r}", True))
    return new


def _refusal(module: nn.Module) -> str:
    """Why a layer cannot be replaced; empty when it can."""
    names = {name for name, _ in module.named_parameters()}
    fixed = getattr(module, "_flat_weights_names", None)
    if fixed is not None and names != set(fixed):
        return "its weights were replaced by something else"
    return ""


def _take_over(old: nn.Module, new: nn.Module) -> None:
    """The parameters themselves, the training flag and the hooks."""
    for name, parameter in old.named_parameters(remove_duplicate=False):
        new.register_parameter(name, parameter)
    new.train(old.training)
    for name, value in vars(old).items():
        if name.endswith("_hooks") or "_hooks_" in name:
            vars(new)[name] = value


def _rnn(old: nn.Module) -> nn.Module:
    assert isinstance(old, nn.RNN)
    return torch_layers.RNN(**_arguments(old), nonlinearity=old.nonlinearity)


def _lstm(old: nn.Module) -> nn.Module:
    assert isinstance(old, nn.LSTM)
    return torch_layers.LSTM(**_arguments(old), proj_size=old.proj_size)


def _gru(old: nn.Module) -> nn.Module:
    assert isinstance(old, nn.GRU)
    return torch_layers.GRU(**_arguments(old))


def _arguments(old: nn.RNNBase) -> dict[str, Any]:
    names = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "bidirectional")
    # Made without storage: the parameters are taken over. A dropout that acts on one layer only
    # does nothing and is dropped, with torch's warning about it.
    dropout = old.dropout if old.num_layers > 1 else 0.0
    return {name: getattr(old, name) for name in names} | {"dropout": dropout, "device": "meta"}


def _rnn_cell(old: nn.Module) -> nn.Module:
    assert isinstance(old, nn.RNNCell)
    made = torch_cells.RNNCell
    return made(old.input_size, old.hidden_size, old.bias, old.nonlinearity, device="meta")


def _lstm_cell(old: nn.Module) -> nn.Module:
    assert isinstance(old, nn.LSTMCell)
    return torch_cells.LSTMCell(old.input_size, old.hidden_size, old.bias, device="meta")


def _gru_cell(old: nn.Module) -> nn.Module:
    assert isinstance(old, nn.GRUCell)
    return torch_cells.GRUCell(old.input_size, old.hidden_size, old.bias, device="meta")


_MAKERS: Mapping[type[nn.Module], Callable[[nn.Module], nn.Module]] = {
    nn.RNN: _rnn,
    nn.LSTM: _lstm,
    nn.GRU: _gru,
    nn.RNNCell: _rnn_cell,
    nn.LSTMCell: _lstm_cell,
    nn.GRUCell: _gru_cell,
}
