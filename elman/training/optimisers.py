"""Optimisers by name, and the groups of parameters that they move."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from elman.errors import ConfigError
from elman.training.config import TrainingConfig
from elman.training.trainable import ParameterGroup

Settings = Callable[[TrainingConfig], dict[str, Any]]


def _adam(config: TrainingConfig) -> dict[str, Any]:
    return {"betas": config.betas}


def _decoupled_adam(config: TrainingConfig) -> dict[str, Any]:
    return {"betas": config.betas, "decoupled_weight_decay": True}


def _momentum(config: TrainingConfig) -> dict[str, Any]:
    return {"momentum": config.momentum}


def _plain(_: TrainingConfig) -> dict[str, Any]:
    return {}


# name: (class, its settings, whether torch has a fused form of it, also for the CPU)
_TABLE: dict[str, tuple[type[torch.optim.Optimizer], Settings, bool]] = {
    "adamw": (torch.optim.AdamW, _adam, True),
    "adam": (torch.optim.Adam, _adam, True),
    "sgd": (torch.optim.SGD, _momentum, True),
    "rmsprop": (torch.optim.RMSprop, _momentum, False),
    "nadam": (torch.optim.NAdam, _decoupled_adam, False),
    "radam": (torch.optim.RAdam, _decoupled_adam, False),
    "adagrad": (torch.optim.Adagrad, _plain, True),
    "adamax": (torch.optim.Adamax, _adam, False),
    "adadelta": (torch.optim.Adadelta, _plain, False),
}


def build_optimiser(
    groups: Sequence[ParameterGroup], config: TrainingConfig
) -> torch.optim.Optimizer:
    """The optimiser that `config` names over `groups`.

    Each of its `param_groups` keeps a `base_lr` (its scale times `config.lr`), which the schedule
    multiplies. Parameters that need no gradient are left out.

    Raises:
        ConfigError: no parameter is left, or one stands in two groups.
    """
    kind, settings, fused = _TABLE[config.optimiser]
    prepared: list[dict[str, Any]] = []
    for number, group in enumerate(groups):
        params = [parameter for parameter in group["params"] if parameter.requires_grad]
        if not params:
            continue
        base_lr = config.lr * group.get("lr_scale", 1.0)
        prepared.append(
            {
                "params": params,
                "name": group.get("name", str(number)),
                "lr": base_lr,
                "base_lr": base_lr,
                "weight_decay": config.decay * group.get("weight_decay_scale", 1.0),
            }
        )
    parameters = [parameter for group in prepared for parameter in group["params"]]
    if not parameters:
        raise ConfigError("the model has no parameter to train: all are frozen.")
    if len({id(parameter) for parameter in parameters}) < len(parameters):
        raise ConfigError("a parameter stands in two parameter groups.")
    options = settings(config)
    if fused and all(parameter.device.type in {"cpu", "cuda"} for parameter in parameters):
        options["fused"] = True
    with warnings.catch_warnings():
        # torch warns about keys of a group that it does not know; ours are ours.
        warnings.simplefilter("ignore")
        return kind(prepared, **options)


def set_rate(optimiser: torch.optim.Optimizer, factor: float) -> float:
    """Sets every group's rate to `factor` times its base; returns the first group's rate."""
    for group in optimiser.param_groups:
        group["lr"] = group["base_lr"] * factor
    return float(optimiser.param_groups[0]["lr"])


def parameter_groups(
    model: nn.Module,
    *,
    lr_scales: Mapping[str, float] | None = None,
    no_decay: Sequence[str] = (),
) -> list[ParameterGroup]:
    """The usual groups: weight decay on matrices, none on vectors, norms and embeddings.

    Args:
        lr_scales: learning rate scales by glob over parameter names, the first match counts,
            for instance `{"embedding.*": 0.1}`.
        no_decay: more globs of parameter names that are not to decay.

    Frozen parameters are left out; a tied parameter appears once, under its first name.
    """
    exempt = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) or "Norm" in type(module).__name__
        for parameter in module.parameters(recurse=False)
    }
    sorted_out: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        scales = (scale for glob, scale in (lr_scales or {}).items() if fnmatchcase(name, glob))
        lr_scale = next(scales, 1.0)
        spared = (
            parameter.ndim < 2
            or id(parameter) in exempt
            or any(fnmatchcase(name, glob) for glob in no_decay)
        )
        sorted_out.setdefault((lr_scale, 0.0 if spared else 1.0), []).append(parameter)
    return [
        {
            "params": params,
            "name": f"{'decayed' if decay else 'undecayed'}"
            + (f" x{lr_scale:g}" if lr_scale != 1.0 else ""),
            "lr_scale": lr_scale,
            "weight_decay_scale": decay,
        }
        for (lr_scale, decay), params in sorted_out.items()
    ]
