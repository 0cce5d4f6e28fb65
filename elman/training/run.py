"""`fit`: the one way into the training room."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from elman.training.config import TrainingConfig
from elman.training.events import Event
from elman.training.history import History
from elman.training.interrupts import Interrupts
from elman.training.process import build_fabric, check_device, run_loop, settled
from elman.training.trainable import Trainable
from elman.training.workers import fit_in_processes


def fit(
    trainable: Trainable[Any],
    config: TrainingConfig,
    *,
    directory: Path | None = None,
    on_event: Callable[[Event], None] | None = None,
    resume: bool = False,
    extra_state: Mapping[str, Any] | None = None,
) -> History:
    """Trains `trainable.model` in place and leaves its best weights in it, in evaluation mode.

    Args:
        directory: the run directory; `checkpoints/`, `metrics.jsonl` and, if asked for,
            `tensorboard/` are written there. None: nothing is written.
        on_event: called with every event, in this process and thread; Step at most ten times a
            second.
        resume: goes on from the checkpoint in `directory`. Without `minutes`, on the CPU, with as
            many threads, the result equals that of an uninterrupted run to the last bit. With
            `minutes` the run gets the time that it had left. A finished run is left as it is
            (`History.trained` is False). Without any checkpoint yet training starts afresh.
        extra_state: JSON values that must be the same when the run is resumed, for instance the
            fingerprint of the data and the settings of the model.

    The caller's random generators are left as they were.

    Raises:
        TrainingError: a loss or gradient is not finite, or a worker process failed.
        Interrupted: SIGINT or SIGTERM came (a TrainingError and a KeyboardInterrupt); a checkpoint
            was written first.
        RunError: the folder holds a run already, or what is to be resumed is damaged or differs.
        ConfigError: a setting is impossible here, or differs from that of the resumed run.
    """
    started = time.monotonic()
    check_device(config)
    directory = None if directory is None else Path(directory)
    if config.devices > 1:
        return fit_in_processes(
            trainable, config, directory, on_event, resume=resume, extra=extra_state
        )
    with Interrupts() as interrupts, settled(config):
        fabric = build_fabric(config)
        return run_loop(
            trainable,
            config,
            fabric,
            interrupts,
            directory=directory,
            on_event=on_event,
            resume=resume,
            extra=extra_state,
            started=started,
        )
