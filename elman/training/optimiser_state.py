"""An optimiser's state as flat tensors and plain values, whatever the optimiser nests in it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from elman.errors import RunError

_TENSOR = "$tensor"


def flatten(optimiser: torch.optim.Optimizer) -> tuple[dict[str, Tensor], list[Any]]:
    """The state of each parameter, in the order of the groups.

    Returns the tensors by dotted name, and a JSON value in which `{"$tensor": name, "cpu": ...}`
    stands for each of them (`cpu`: it lives there even when its parameter does not).
    """
    tensors: dict[str, Tensor] = {}
    values = [
        _flat(optimiser.state.get(parameter, {}), str(number), tensors)
        for number, parameter in enumerate(_parameters(optimiser))
    ]
    return tensors, values


def _parameters(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _flat(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors[name] = value
        return {_TENSOR: name, "cpu": value.device.type == "cpu"}
    if isinstance(value, dict):
        return {key: _flat(item, f"{name}.{key}", tensors) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_flat(item, f"{name}.{number}", tensors) for number, item in enumerate(value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"an optimiser keeps a {type(value).__name__} in its state: {name}")


def restore(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor], values: Any) -> None:
    """Puts back what `flatten` gave.

    Dtypes stay as they were saved (`load_state_dict` would cast scalars such as NAdam's
    `mu_product` to the parameter's), and every tensor gets memory of its own, aligned as torch
    aligns it: products depend on that to the last bit.

    Raises:
        RunError: the number of parameters differs.
    """
    parameters = _parameters(optimiser)
    if len(values) != len(parameters):
        raise RunError(
            f"the checkpoint has the optimiser's state of {len(values)} parameters, "
            f"the model trains {len(parameters)}."
        )
    optimiser.state.clear()
    for parameter, value in zip(parameters, values, strict=True):
        if value:
            optimiser.state[parameter] = _nested(value, tensors, parameter.device)


def _nested(value: Any, tensors: dict[str, Tensor], device: torch.device) -> Any:
    if isinstance(value, dict) and _TENSOR in value:
        target = torch.device("cpu") if value["cpu"] and device.type != "cpu" else device
        return tensors[value[_TENSOR]].clone().to(target)
    if isinstance(value, dict):
        return {key: _nested(item, tensors, device) for key, item in value.items()}
    if isinstance(value, list):
        return [_nested(item, tensors, device) for item in value]
    return value
