"""What may differ between a run and its resumption, and what more epochs or minutes mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elman.errors import ConfigError, RunError
from elman.training.config import TrainingConfig
from elman.training.state import RunState

CHANGEABLE = ("checkpoint_seconds", "tensorboard", "device")
"""Settings that do not change what is computed (another device: only its last digits)."""

EXTENDABLE = ("epochs", "minutes")
"""May change while the schedule is `constant` or `plateau` and the average is not `swa`: the other
schedules lay out the learning rate over the whole length of the run, so that a run of another
length has other rates from its first step on, and no later step could make up for that."""


def check_settings(saved: Mapping[str, Any], config: TrainingConfig, epoch: int) -> None:
    """Compares the settings of a checkpoint in epoch `epoch` with those of its resumption.

    Raises:
        ConfigError: names the first setting that differs and must not.
    """
    now = config.model_dump(mode="json")
    fixed_length = config.schedule in {"one-cycle", "cosine"} or config.average == "swa"
    for name, value in now.items():
        before = saved.get(name)
        if before == value or name in CHANGEABLE:
            continue
        if name in EXTENDABLE and not fixed_length:
            if name == "epochs" and value < epoch:
                raise ConfigError(
                    f"the run is already in epoch {epoch}, {value} epochs were asked for.",
                    where="training.epochs",
                )
            continue
        reason = ""
        if name in EXTENDABLE:
            plan = "schedule" if config.schedule in {"one-cycle", "cosine"} else "average"
            reason = f" The {getattr(config, plan)} {plan} was laid out for that length."
        raise ConfigError(
            f"the run was started with {name} = {_shown(before)}, not {_shown(value)}.{reason}",
            where=f"training.{name}",
            hint="Resume with the old setting, or start a new run in another folder.",
        )


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)


def check_extra(saved: Mapping[str, Any], now: Mapping[str, Any], where: str = "") -> None:
    """Compares what the task wants unchanged (its data, its model), key by key.

    Raises:
        RunError: names the first key whose value differs.
    """
    for key in [*saved, *(key for key in now if key not in saved)]:
        before, value = saved.get(key), now.get(key)
        name = f"{where}.{key}" if where else str(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            check_extra(before, value, name)
        elif _plain(before) != _plain(value):
            raise RunError(
                f"the run was started with {name} = {_shown(before)}, not {_shown(value)}.",
                hint="Resume with the old one, or start a new run in another folder.",
            )


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def extend(state: RunState, saved: Mapping[str, Any], config: TrainingConfig) -> None:
    """Wakes a finished run that has been given more epochs or minutes."""
    more = {
        "epochs": config.epochs > int(saved["epochs"]),
        "minutes": saved["minutes"] is not None
        and (config.minutes is None or config.minutes > float(saved["minutes"])),
    }
    if state.stopped is not None and more.get(state.stopped, False):
        state.stopped = None
        state.finished = False
        if state.position >= state.epoch_steps and not state.validation_due:
            state.epoch += 1
            state.position = 0
