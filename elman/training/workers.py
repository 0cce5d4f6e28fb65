"""Several processes that train one model together, started from any kind of program.

Fabric's own launchers either run the user's command once more for each process (`ddp`), or need a
guarded main module (`ddp_spawn`), or fork, which hangs once OpenMP or autograd have threads. Here
the processes are spawned without the main module, unless the task was defined in it: then, as with
all of Python's multiprocessing, the script must call `fit` inside `if __name__ == "__main__":`.
Fabric then finds itself in a process that somebody else has started and sets up the rest.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes

from elman.errors import ElmanError, TrainingError
from elman.training.averaging import put_weights, weights_of
from elman.training.config import TrainingConfig
from elman.training.events import Event
from elman.training.guard import ElsewhereError
from elman.training.history import History
from elman.training.interrupts import Interrupted, Interrupts
from elman.training.process import accelerator, build_fabric, run_loop, settled
from elman.training.trainable import Trainable

PATIENCE = 10.0
"""Seconds that the other processes get to end by themselves before they are killed."""

STOP = "stop"
GUARD = 'The task is defined in the main script: call fit inside `if __name__ == "__main__":`.'


@dataclass(frozen=True)
class Order:
    """What a worker is told when it starts. `task` is the pickled trainable."""

    rank: int
    config: TrainingConfig
    directory: Path | None
    resume: bool
    extra: Mapping[str, Any] | None
    task: bytes
    meeting: str
    threads: int
    started: float


@dataclass(frozen=True)
class Done:
    """A worker's last message: the result (of the first one), or the error that ended it."""

    history: History | None = None
    weights: bytes = b""
    error: ElmanError | None = None
    trace: str = ""
    time: float = 0.0


def fit_in_processes(
    trainable: Trainable[Any],
    config: TrainingConfig,
    directory: Path | None,
    on_event: Callable[[Event], None] | None,
    *,
    resume: bool,
    extra: Mapping[str, Any] | None,
) -> History:
    """Trains in `config.devices` processes; the weights come back into `trainable.model`.

    Raises:
        TrainingError: the task cannot be pickled, or a process failed; none is left behind.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise TrainingError("several processes were asked for by one that is starting.", hint=GUARD)
    started = time.monotonic()
    task = _pickled(trainable)
    with Interrupts() as interrupts, tempfile.TemporaryDirectory(prefix="elman-") as folder:
        orders = [
            Order(
                rank=rank,
                config=config,
                directory=directory,
                resume=resume,
                extra=extra,
                task=task,
                meeting=str(Path(folder) / "meeting"),
                threads=max(torch.get_num_threads() // config.devices, 1),
                started=started,
            )
            for rank in range(config.devices)
        ]
        del task
        crew = _Crew(orders)
        try:
            done = crew.work(on_event, interrupts)
        finally:
            crew.dismiss()
    put_weights(trainable.model, from_bytes(done.weights))
    trainable.model.eval()
    assert done.history is not None
    return done.history


def _pickled(trainable: Trainable[Any]) -> bytes:
    try:
        return pickle.dumps(trainable, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise TrainingError(
            f"the task cannot be sent to other processes: {error}.",
            hint="Define what it holds in a module, without lambdas, or train with devices = 1.",
        ) from error


@contextlib.contextmanager
def _main_left_out() -> Iterator[None]:
    """Within the block a spawned process does not import the main module."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class _Crew:
    """The worker processes, as their parent sees them."""

    def __init__(self, orders: list[Order]) -> None:
        context = multiprocessing.get_context("spawn")
        self._reports: list[Any] = []
        self._controls: list[Any] = []
        self._processes: list[Any] = []
        self._finished: dict[int, Done] = {}
        self._needs_main = b"__main__" in orders[0].task
        try:
            with contextlib.nullcontext() if self._needs_main else _main_left_out():
                for order in orders:
                    report, send = context.Pipe(duplex=False)
                    hear, control = context.Pipe(duplex=False)
                    self._reports.append(report)
                    self._controls.append(control)
                    process = context.Process(
                        target=work, args=(order, send, hear), daemon=True, name=f"{order.rank}"
                    )
                    process.start()
                    self._processes.append(process)
                    send.close()
                    hear.close()
        except BaseException:
            self.dismiss()
            raise

    def work(self, on_event: Callable[[Event], None] | None, interrupts: Interrupts) -> Done:
        """Passes events on until all are done; the first one's result.

        Raises:
            ElmanError: the earliest error of any worker.
        """
        told = False
        while len(self._finished) < len(self._processes):
            if interrupts.requested and not told:
                told = True
                self._tell(STOP)
            self._listen(on_event, 0.2)
            if any(done.error is not None for done in self._finished.values()):
                raise self._earliest(on_event)
        return self._finished[0]

    def _listen(self, on_event: Callable[[Event], None] | None, timeout: float) -> None:
        """Takes in what the workers have sent, one message each."""
        open_reports = {
            report: rank for rank, report in enumerate(self._reports) if rank not in self._finished
        }
        for report in wait(list(open_reports), timeout):
            rank = open_reports[report]
            try:
                message = self._reports[rank].recv()
            except (EOFError, OSError):
                self._finished[rank] = self._died(rank)
                continue
            if isinstance(message, Done):
                self._finished[rank] = message
            elif on_event is not None:
                on_event(message)

    def _died(self, rank: int) -> Done:
        """A process that ended without a word."""
        self._processes[rank].join(PATIENCE)
        code = self._processes[rank].exitcode
        if code is not None and code < 0:
            message = f"worker process {rank} was killed by signal {-code}."
            hint = "Perhaps the memory ran out." if code == -9 else None
        else:
            message = f"worker process {rank} ended with exit code {code}."
            hint = GUARD if self._needs_main else None
        return Done(error=TrainingError(message, hint=hint), time=time.monotonic())

    def _earliest(self, on_event: Callable[[Event], None] | None) -> ElmanError:
        """The error that came first: when one process fails, those that wait for it fail too."""
        until = time.monotonic() + 0.5
        while len(self._finished) < len(self._processes) and time.monotonic() < until:
            self._listen(on_event, 0.1)
        failed = [done for done in self._finished.values() if done.error is not None]
        telling = [done for done in failed if not isinstance(done.error, ElsewhereError)]
        first = min(telling or failed, key=lambda done: done.time)
        assert first.error is not None
        if first.trace:
            first.error.add_note(first.trace)
        return first.error

    def _tell(self, message: str) -> None:
        for control in self._controls:
            with contextlib.suppress(OSError):
                control.send(message)

    def dismiss(self) -> None:
        """Ends every process that still runs and closes the pipes."""
        orderly = all(d.error is None for d in self._finished.values()) and len(
            self._finished
        ) == len(self._processes)
        if orderly:
            for process in self._processes:
                process.join(PATIENCE)
        for process in self._processes:
            if process.is_alive():
                # Not terminate(): the workers are deaf to SIGTERM.
                process.kill()
            process.join(PATIENCE)
        for connection in [*self._reports, *self._controls]:
            connection.close()


# -- in the worker ---------------------------------------------------------------------------------


def work(order: Order, report: Connection, control: Connection) -> None:
    """The life of a worker process."""
    interrupts = Interrupts(deaf=True)
    try:
        with interrupts:
            threading.Thread(target=_obey, args=(control, interrupts), daemon=True).start()
            done = _train(order, report, interrupts)
    except (ElmanError, Interrupted) as error:
        done = Done(error=error, time=time.monotonic())
    except BaseException as error:  # noqa: BLE001 - the parent must hear of everything
        wrapped = TrainingError(f"worker process {order.rank}: {type(error).__name__}: {error}.")
        done = Done(error=wrapped, trace=traceback.format_exc(), time=time.monotonic())
    with contextlib.suppress(OSError):
        report.send(done)
        report.close()
    if torch.distributed.is_initialized() and done.error is None:
        torch.distributed.destroy_process_group()


def _obey(control: Connection, interrupts: Interrupts) -> None:
    """Waits for the parent's word; when the parent is gone, so is this process."""
    try:
        while control.recv() == STOP:
            interrupts.request()
    except (EOFError, OSError):
        os._exit(1)


def _train(order: Order, report: Connection, interrupts: Interrupts) -> Done:
    config = order.config
    torch.set_num_threads(order.threads)
    os.environ.update(LOCAL_RANK=str(order.rank), NODE_RANK="0", WORLD_SIZE=str(config.devices))
    if sys.platform == "linux":
        # All processes are on this machine, whose own name need not be known to it.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    trainable: Trainable[Any] = pickle.loads(order.task)  # noqa: S301 - our parent made it
    with settled(config):
        _meet(order)
        history = run_loop(
            trainable,
            config,
            build_fabric(config),
            interrupts,
            directory=order.directory,
            on_event=report.send,
            resume=order.resume,
            extra=order.extra,
            started=order.started,
        )
    if order.rank > 0:
        return Done()
    final = {name: value.cpu().clone() for name, value in weights_of(trainable.model).items()}
    return Done(history=history, weights=to_bytes(final))


def _meet(order: Order) -> None:
    """Joins the processes through a file: a port might be taken by somebody else meanwhile."""
    cuda = accelerator(order.config) == "cuda"
    torch.distributed.init_process_group(
        "nccl" if cuda else "gloo",
        init_method=Path(order.meeting).as_uri(),
        rank=order.rank,
        world_size=order.config.devices,
        # The others wait while the first one validates.
        timeout=timedelta(hours=12),
        device_id=torch.device("cuda", order.rank) if cuda else None,
    )
