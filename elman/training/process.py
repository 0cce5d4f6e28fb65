"""Training in this process: device, precision, determinism, and the loop with what it needs."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from elman.errors import ConfigError
from elman.kernels.cpu.brain import multiplies_brain
from elman.kernels.cpu.target import host
from elman.training import random_state
from elman.training.config import TrainingConfig
from elman.training.emitter import Emitter
from elman.training.engine import Engine
from elman.training.events import Event
from elman.training.history import History
from elman.training.interrupts import Interrupts
from elman.training.keeper import Keeper
from elman.training.loop import Loop
from elman.training.pace import Clock
from elman.training.trainable import Trainable

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def run_loop(
    trainable: Trainable[Any],
    config: TrainingConfig,
    fabric: Fabric,
    interrupts: Interrupts,
    *,
    directory: Path | None,
    on_event: Callable[[Event], None] | None,
    resume: bool,
    extra: Mapping[str, Any] | None,
    started: float,
) -> History:
    """Trains in this process, which may be one of several; only the first one tells and writes."""
    first = fabric.global_rank == 0
    emitter = Emitter(directory if first else None, on_event if first else None)
    keeper = Keeper(directory, emitter, config, resume=resume, extra=extra)
    loop = Loop(Engine(trainable, config, fabric), keeper, emitter, interrupts, Clock(started))
    try:
        return loop.run()
    finally:
        emitter.close()


def check_device(config: TrainingConfig) -> None:
    """Refuses a device that is not here.

    Raises:
        ConfigError: names the device asked for and what there is.
    """
    kind, _, number = config.device.partition(":")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cuda" and (int(number or 0) >= count or config.devices > count):
        raise ConfigError(
            f'device "{config.device}" with devices = {config.devices} was asked for, '
            f"torch sees {count} CUDA devices.",
            where="training.device",
            hint='Use "auto" or "cpu".',
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(
            'device "mps" was asked for, but torch does not see it here.',
            where="training.device",
            hint='Use "auto" or "cpu".',
        )


def accelerator(config: TrainingConfig) -> str:
    """The kind of device: cpu, cuda or mps. Several processes use GPUs only if there are enough."""
    kind = config.device.partition(":")[0]
    if kind != "auto":
        return kind
    if torch.cuda.is_available() and torch.cuda.device_count() >= config.devices:
        return "cuda"
    return "mps" if torch.backends.mps.is_available() and config.devices == 1 else "cpu"


def precision(config: TrainingConfig) -> str:
    """32, bf16 or 16: what "auto" means here."""
    if config.precision != "auto":
        return config.precision
    kind = accelerator(config)
    fast = multiplies_brain(host()) if kind == "cpu" else kind == "cuda"
    return "bf16" if fast and (kind != "cuda" or torch.cuda.is_bf16_supported()) else "32"


def build_fabric(config: TrainingConfig) -> Fabric:
    """Lightning Fabric for this process: device, precision and, among several, their strategy."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment

    number = config.device.partition(":")[2]
    devices: Any = [int(number)] if number else config.devices
    with warnings.catch_warnings():
        # Fabric's advice about hardware that could be used is for its own users.
        warnings.simplefilter("ignore")
        fabric = Fabric(
            accelerator=accelerator(config),
            devices=devices,
            strategy="ddp" if config.devices > 1 else "auto",
            precision=_PRECISIONS[precision(config)],  # pyright: ignore[reportArgumentType]
            plugins=[LightningEnvironment()],
        )
        fabric.launch()
    return fabric


@contextlib.contextmanager
def settled(config: TrainingConfig) -> Iterator[None]:
    """Within the block torch is as deterministic as asked for; afterwards all is as before."""
    random_before = random_state.capture()
    algorithms = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    # The module replaces itself with an object that type checkers do not see.
    memory: Any = torch.utils.deterministic
    filling = memory.fill_uninitialized_memory
    try:
        if config.deterministic:
            # cuBLAS reads this when it first starts.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True, warn_only=True)
            memory.fill_uninitialized_memory = False
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms, warn_only=warn_only)
        memory.fill_uninitialized_memory = filling
        random_state.restore(random_before)
