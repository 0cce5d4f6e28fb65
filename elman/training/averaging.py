"""Averages of the weights over the steps, and the exchange of weights and average.

The exponential moving average corrects its start as Tensorflow's does: its decay at the t-th update
is min(decay, (1 + t) / (10 + t)), so that early weights are forgotten quickly. The stochastic
weight average (Izmailov et al. 2018) is the plain mean over the last part of the run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from elman.training.config import TrainingConfig


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Every distinct parameter and buffer by name; a tied one stands under its first name."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if id(tensor) not in seen:
            seen.add(id(tensor))
            found[name] = tensor.detach()
    return found


@torch.no_grad()
def put_weights(model: nn.Module, values: dict[str, Tensor]) -> None:
    """Copies `values` into the model's own tensors."""
    for name, tensor in weights_of(model).items():
        tensor.copy_(values[name])


def copied(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors in memory of their own."""
    return {name: tensor.clone() for name, tensor in values.items()}


class Averager:
    """Keeps an average of a model's weights.

    Attributes:
        count: how many updates have been made.
        values: the average by name; empty before the first update.
    """

    def __init__(self, model: nn.Module, config: TrainingConfig) -> None:
        self._model = model
        self._config = config
        self.count = 0
        self.values: dict[str, Tensor] = {}

    @property
    def ready(self) -> bool:
        """Whether there is an average to use."""
        return self.count > 0

    def start(self) -> None:
        """Begins the moving average at the present weights; the plain mean begins later."""
        if self._config.average == "ema":
            self.values = copied(weights_of(self._model))

    @torch.no_grad()
    def update(self, p: float) -> None:
        """Takes the weights after a step into the average; `p` is the progress of the run."""
        config = self._config
        if config.average == "none" or (config.average == "swa" and p < config.swa_start):
            return
        weights = weights_of(self._model)
        if not self.values:
            self.values = copied(weights)
        share = self._share()
        self.count += 1
        averaged, fresh = [], []
        for name, tensor in weights.items():
            if tensor.is_floating_point() or tensor.is_complex():
                averaged.append(self.values[name])
                fresh.append(tensor)
            else:
                self.values[name].copy_(tensor)
        if averaged:
            torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage]
                averaged, fresh, share
            )

    def _share(self) -> float:
        """The weight of the newest weights in the average."""
        if self._config.average == "swa":
            return 1.0 / (self.count + 1)
        return 1.0 - min(self._config.ema_decay, (1 + self.count) / (10 + self.count))

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the block the model has the averaged weights, afterwards its own, bit for bit."""
        if not self.ready:
            yield
            return
        own = copied(weights_of(self._model))
        put_weights(self._model, self.values)
        try:
            yield
        finally:
            put_weights(self._model, own)
