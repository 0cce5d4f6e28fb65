"""Keeps a run: writes what a checkpoint needs, and puts a run back where its checkpoint stood."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor

from elman.errors import ElmanError, RunError
from elman.training import checkpoints, optimiser_state, random_state
from elman.training.averaging import put_weights, weights_of
from elman.training.config import TrainingConfig
from elman.training.emitter import Emitter
from elman.training.events import Note
from elman.training.interrupts import Interrupted
from elman.training.resumption import check_extra, check_settings, extend
from elman.training.state import RunState
from elman.training.trainable import carried_state

if TYPE_CHECKING:
    from elman.training.loop import Loop

SAVING_SHARE = 20.0
"""Training lasts at least so many times the writing of a checkpoint before the next one."""


class Keeper:
    """The run's folder, as the loop sees it. Without a folder nothing is kept.

    Attributes:
        directory: the run directory or None.
        wanted: whether the processes have agreed to write a checkpoint after this step.
        longest: the longest time that writing a checkpoint took, in seconds.
    """

    def __init__(
        self,
        directory: Path | None,
        emitter: Emitter,
        config: TrainingConfig,
        *,
        resume: bool,
        extra: Mapping[str, Any] | None,
    ) -> None:
        self.directory = directory
        self.wanted = False
        self.longest = 0.0
        self._root = None if directory is None else directory / checkpoints.FOLDER
        self._emitter = emitter
        self._config = config
        self._resume = resume
        self._extra = dict(extra or {})
        self._saved_at = time.monotonic()
        self._took = 0.0
        self._best_file: dict[str, Any] | None = None
        self._failing = False

    # -- writing ---------------------------------------------------------------------------------

    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        if self._root is None:
            return False
        wait = max(self._config.checkpoint_seconds, SAVING_SHARE * self._took)
        return time.monotonic() - self._saved_at >= wait

    def save(self, loop: Loop) -> bool:
        """Writes a checkpoint of `loop`; all processes call it, the first one writes.

        A checkpoint that cannot be written (a full disk) is reported as a Note: the one before it
        stays, training goes on, and the next is tried after the usual time.
        """
        if self._root is None:
            return False
        began = time.monotonic()
        shared = self._gather(loop)
        done = False
        if loop.engine.rank == 0:
            done = self._write(self._root, loop, shared)
        self._saved_at = time.monotonic()
        # A checkpoint after every step, when asked for by 0, is not slowed down.
        self._took = self._saved_at - began if self._config.checkpoint_seconds else 0.0
        self.longest = max(self.longest, self._saved_at - began)
        return done

    def _gather(self, loop: Loop) -> dict[str, Tensor]:
        """The tensors that differ between processes: random states, carried states."""
        own = {f"random.{name}": value for name, value in random_state.capture().tensors().items()}
        own |= {
            f"carried.{name}": value.detach().cpu()
            for name, value in carried_state(loop.trainable).items()
        }
        everyone: list[Any] = [own]
        if loop.engine.world > 1:
            everyone = [None] * loop.engine.world
            torch.distributed.all_gather_object(everyone, own)
        return {
            f"{rank}.{name}": value
            for rank, tensors in enumerate(everyone)
            for name, value in tensors.items()
        }

    def _write(self, root: Path, loop: Loop, shared: dict[str, Tensor]) -> bool:
        try:
            if loop.best_weights and not self._best_is_kept(loop.state):
                self._write_best(root, loop)
            body, tensors = self._contents(loop)
            checkpoints.write(root, {**tensors, "processes": shared}, body)
            checkpoints.prune_best(root)
            self._failing = False
            return True
        except ElmanError as error:
            self._complain(f"the checkpoint could not be written: {error}")
            return False

    def _contents(self, loop: Loop) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
        optimiser_tensors, optimiser_values = optimiser_state.flatten(loop.engine.optimiser)
        tensors = {"model": weights_of(loop.engine.model), "optimiser": optimiser_tensors}
        if loop.average.values:
            tensors["average"] = loop.average.values
        body = {
            "settings": self._config.model_dump(mode="json"),
            "extra": self._extra,
            "state": loop.state.to_json(),
            "optimiser": optimiser_values,
            "averaged": loop.average.count,
            "precision": loop.engine.fabric.strategy.precision.state_dict(),
            "best_file": self._best_file,
            "events_bytes": self._emitter.sync(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
        return body, tensors

    def save_best(self, loop: Loop) -> None:
        """Writes the best weights; a failure is reported and tried again at the next checkpoint."""
        if self._root is None or loop.engine.rank != 0:
            return
        try:
            self._write_best(self._root, loop)
        except ElmanError as error:
            self._complain(f"the best weights could not be written: {error}")

    def _write_best(self, root: Path, loop: Loop) -> None:
        state = loop.state
        facts = {"epoch": state.best_epoch, "metrics": state.best_metrics}
        self._best_file = None
        self._best_file = checkpoints.write_best(root, state.best_step, loop.best_weights, facts)

    def _best_is_kept(self, state: RunState) -> bool:
        return self._best_file is not None and self._best_file["step"] == state.best_step

    def _complain(self, message: str) -> None:
        if not self._failing:
            self._failing = True
            self._emitter.tell(Note(f"{message} Training goes on; the last good one stays."))

    def interrupted(self, loop: Loop) -> NoReturn:
        """Writes a checkpoint and ends the run.

        Raises:
            Interrupted: always; it says how to go on.
        """
        loop.state.elapsed = loop.clock.elapsed()
        done = self.save(loop)
        place = f"training was interrupted after step {loop.state.step}"
        if self._root is None:
            raise Interrupted(f"{place}.", hint="Nothing was kept: the run has no folder.")
        if not done and loop.engine.rank == 0:
            raise Interrupted(
                f"{place}, and its checkpoint could not be written.",
                hint=f'Resuming "{self.directory}" goes on from the one before it, if any.',
            )
        raise Interrupted(
            f'{place}; its checkpoint is in "{self._root / checkpoints.LAST}".',
            hint="The same command with --resume (in Python: resume=True) goes on from there.",
        )

    # -- reading ---------------------------------------------------------------------------------

    def restore(self, loop: Loop) -> bool:
        """Puts `loop` where the checkpoint stood; False when the run begins at its beginning.

        Raises:
            RunError: the folder holds a run that was not to be resumed, or no readable checkpoint,
                or one of another model or other data.
            ConfigError: a setting differs from the run's.
        """
        if self._root is None:
            return False
        first = loop.engine.rank == 0
        loaded = checkpoints.read(self._root) if self._resume else self._none_there(self._root)
        if loaded is None:
            if first:
                self._emitter.open(0, board=self._config.tensorboard, step=0)
                if self._resume:
                    self._emitter(Note("there is no checkpoint yet: training starts afresh."))
            return False
        check_settings(loaded.body["settings"], self._config, loaded.body["state"]["epoch"])
        check_extra(loaded.body["extra"], self._extra)
        self._load(loop, loaded)
        extend(loop.state, loaded.body["settings"], self._config)
        if first and not loop.state.finished:
            keep = int(loaded.body["events_bytes"])
            self._emitter.open(keep, board=self._config.tensorboard, step=loop.state.step)
        for note in self._remarks(loop, loaded) if first else []:
            self._emitter(Note(note))
        return True

    @staticmethod
    def _none_there(root: Path) -> None:
        if checkpoints.exist(root):
            raise RunError(
                f'"{root.parent}" already holds a run.',
                hint="Resume it (--resume, in Python resume=True) or name another folder.",
            )

    def _load(self, loop: Loop, loaded: checkpoints.Loaded) -> None:
        body, tensors = loaded.body, loaded.tensors
        _check_weights(weights_of(loop.engine.model), tensors["model"])
        put_weights(loop.engine.model, tensors["model"])
        optimiser_state.restore(
            loop.engine.optimiser, tensors.get("optimiser", {}), body["optimiser"]
        )
        loop.average.count = body["averaged"]
        device = loop.engine.fabric.device
        loop.average.values = _owned(tensors.get("average", {}), device)
        loop.engine.fabric.strategy.precision.load_state_dict(body["precision"])
        loop.state = RunState.from_json(body["state"])
        loop.clock.add(loop.state.elapsed)
        loop.resumed = loop.state.step
        self._load_best(loop, body["best_file"], loaded.notes)
        self._load_process(loop, tensors["processes"])

    def _load_best(self, loop: Loop, entry: dict[str, Any] | None, notes: list[str]) -> None:
        assert self._root is not None
        state = loop.state
        if state.best is None:
            return
        try:
            if entry is None or entry["step"] != state.best_step:
                raise RunError("the best weights of the run were never written.")
            loop.best_weights = _owned(
                checkpoints.read_best(self._root, entry), loop.engine.fabric.device
            )
            self._best_file = entry
        except RunError as error:
            if state.finished:
                raise
            notes.append(f"{error} The best weights are chosen anew from here on.")
            state.best, state.best_metrics = None, {}

    @staticmethod
    def _load_process(loop: Loop, shared: dict[str, Tensor]) -> None:
        prefix = f"{loop.engine.rank}."
        own = {k.removeprefix(prefix): v for k, v in shared.items() if k.startswith(prefix)}
        carried = {
            name.removeprefix("carried."): value.clone()
            for name, value in own.items()
            if name.startswith("carried.")
        }
        put_back = getattr(loop.trainable, "load_carried_state", None)
        if put_back is not None:
            put_back(carried)
        states = {k.removeprefix("random."): v for k, v in own.items() if k.startswith("random.")}
        random_state.restore(random_state.from_tensors(states))

    def _remarks(self, loop: Loop, loaded: checkpoints.Loaded) -> list[str]:
        notes = list(loaded.notes)
        state, body = loop.state, loaded.body
        if state.finished:
            notes.append(
                f'the run in "{self.directory}" is finished ({state.step} steps, stopped by '
                f"{state.stopped}): nothing was changed."
            )
            return notes
        if body["threads"] != torch.get_num_threads() or body["torch"] != torch.__version__:
            notes.append(
                f"the run began with {body['threads']} threads and torch {body['torch']}, now "
                f"{torch.get_num_threads()} and {torch.__version__}: last digits may differ."
            )
        return notes


def _owned(values: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.clone().to(device) for name, tensor in values.items()}


def _check_weights(own: dict[str, Tensor], saved: dict[str, Tensor]) -> None:
    """Refuses a checkpoint of another model, naming the first difference."""
    for name in [*own, *saved]:
        mine, theirs = own.get(name), saved.get(name)
        if mine is None or theirs is None:
            where = "the model has no" if mine is None else "the checkpoint has no"
            raise RunError(f'the checkpoint is of another model: {where} "{name}".')
        if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
            raise RunError(
                f'the checkpoint is of another model: "{name}" has shape {tuple(theirs.shape)} and '
                f"{theirs.dtype} in it, {tuple(mine.shape)} and {mine.dtype} in the model."
            )
