"""One optimiser step: losses of the batches, their gradients joined, clipped and applied."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from elman.training.batch_tensors import to_device
from elman.training.config import TrainingConfig
from elman.training.optimisers import build_optimiser
from elman.training.trainable import Trainable

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass
class Gathered:
    """Gradients of this process's share of a step, and what the processes tell each other.

    Attributes:
        loss_sum, weight: sums over batches of weight times mean loss, and of the weight.
        bad: number of processes with a loss or gradient that is not finite; `bad_here`: this one.
        elapsed, step_seconds, saving_seconds: the first process's clock and measurements.
        interrupted, saving: wishes to stop and to save.
    """

    loss_sum: float = 0.0
    weight: float = 0.0
    bad: float = 0.0
    elapsed: float = 0.0
    step_seconds: float = 0.0
    saving_seconds: float = 0.0
    interrupted: float = 0.0
    saving: float = 0.0
    bad_here: bool = False


_SHARED = tuple(field.name for field in fields(Gathered) if field.name != "bad_here")


class Engine:
    """A model on its device with its optimiser.

    Several processes add their weighted gradients and divide by the total weight, rather than
    averaging averages as torch's DistributedDataParallel does: uneven and missing batches come
    out right, and a step on k processes equals a step that accumulates k batches.
    """

    def __init__(self, trainable: Trainable[Any], config: TrainingConfig, fabric: Fabric) -> None:
        self.trainable = trainable
        self.config = config
        self.fabric = fabric
        self.model: nn.Module = trainable.model
        self.model.to(fabric.device)
        self.optimiser = build_optimiser(trainable.parameter_groups(), config)
        self.parameters: list[nn.Parameter] = [
            parameter for group in self.optimiser.param_groups for parameter in group["params"]
        ]
        self.precision = str(fabric.strategy.precision.precision).partition("-")[0]
        self.scaled = config.precision == "16"

    @property
    def world(self) -> int:
        """The number of processes."""
        return self.fabric.world_size

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""
        return self.fabric.global_rank

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """A block in evaluation mode, without gradients, under autocast if asked for."""
        self.model.eval()
        try:
            with torch.no_grad(), self.fabric.autocast():
                yield
        finally:
            self.model.train()

    def loss(self, batch: Any) -> tuple[Tensor, float]:
        """The task's loss of a batch, on the device and in the precision of the run."""
        with self.fabric.autocast():
            loss, weight = self.trainable.loss(to_device(batch, self.fabric.device))
        return loss, float(weight)

    def gather(self, batches: Sequence[Any], told: Gathered) -> Gathered:
        """Computes gradients of `batches` (perhaps none) and joins them over the processes.

        `told` carries what this process wants to tell; the result holds the sums. After it, every
        parameter's `.grad` is that of the mean loss over all batches of all processes.
        """
        self.optimiser.zero_grad(set_to_none=True)
        alone = self.world == 1 and len(batches) == 1
        for batch in batches:
            loss, weight = self.loss(batch)
            value = float(loss.detach())
            told.loss_sum += value * weight
            told.weight += weight
            if not math.isfinite(value):
                told.bad_here = True
                break
            self.fabric.backward(loss if alone else loss * weight)
        if self.world > 1:
            self._share(told)
        else:
            told.bad = float(told.bad_here)
        if not alone and told.weight > 0 and not told.bad:
            gradients = [p.grad for p in self.parameters if p.grad is not None]
            torch._foreach_div_(  # pyright: ignore[reportPrivateImportUsage]
                gradients, told.weight
            )
        return told

    def _share(self, told: Gathered) -> None:
        """Sums gradients and scalars over the processes."""
        kinds = {parameter.dtype for parameter in self.parameters}
        for kind in sorted(kinds, key=str):
            some = [parameter for parameter in self.parameters if parameter.dtype == kind]
            if self._add_up(some):
                told.bad_here = told.bad_here or not self.scaled
        told.bad = float(told.bad_here)
        numbers = torch.tensor(
            [getattr(told, name) for name in _SHARED], dtype=torch.float64, device="cpu"
        )
        if self.fabric.device.type == "mps":
            numbers = numbers.float()
        total = self.fabric.all_reduce(numbers.to(self.fabric.device), reduce_op="sum")
        assert isinstance(total, Tensor)
        for name, value in zip(_SHARED, total.tolist(), strict=True):
            setattr(told, name, value)

    def _add_up(self, some: list[nn.Parameter]) -> bool:
        """Sums the gradients of `some` in one buffer; True if this process's are not finite.

        A parameter that no process used keeps no gradient, as with one process.
        """
        used = torch.tensor([parameter.grad is not None for parameter in some])
        buffer = torch.cat(
            [
                torch.zeros_like(parameter).reshape(-1)
                if parameter.grad is None
                else parameter.grad.reshape(-1)
                for parameter in some
            ]
            + [used.to(some[0])]
        )
        bad = not bool(torch.isfinite(buffer).all())
        total = self.fabric.all_reduce(buffer, reduce_op="sum")
        assert isinstance(total, Tensor)
        sizes = [parameter.numel() for parameter in some]
        *parts, counts = total.split([*sizes, len(some)])
        for parameter, part, count in zip(some, parts, counts.tolist(), strict=True):
            parameter.grad = part.view_as(parameter).clone() if count else None
        return bad

    def clip(self) -> float:
        """Clips the gradient by its norm if asked for; returns the norm before."""
        if self.scaled:
            self.fabric.strategy.precision.unscale_gradients(self.optimiser)
        limit = math.inf if self.config.clip is None else self.config.clip
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if not gradients:
            return 0.0
        norm = torch.nn.utils.get_total_norm(gradients)
        if math.isfinite(limit):
            torch.nn.utils.clip_grads_with_norm_(self.parameters, limit, norm)
        return float(norm)

    def apply(self) -> None:
        """Moves the weights along the gradients, with the rates set before."""
        self.fabric.strategy.precision.optimizer_step(self.optimiser)
