"""A tiny task to train in the tests, and a script that trains it in a process of its own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from elman.training import ParameterGroup, parameter_groups

Start = Callable[..., "subprocess.Popen[str]"]
"""The fixture `start`."""


class TinyBatch(NamedTuple):
    x: Tensor
    y: Tensor
    rows: list[int]


class Net(nn.Module):
    def __init__(self, dropout: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.first = nn.Linear(4, 8, dtype=dtype)
        self.drop = nn.Dropout(dropout)
        self.second = nn.Linear(8, 1, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.drop(torch.tanh(self.first(x))))


class Tiny:
    """Regression of a fixed function; 40 rows, by default in batches of 4."""

    monitor = "loss"
    mode: Literal["max", "min"] = "min"

    def __init__(
        self,
        *,
        rows: int = 40,
        batch: int = 4,
        dropout: float = 0.2,
        dtype: torch.dtype = torch.float32,
        seed: int = 1,
        slow: float = 0.0,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.randn(rows, 4, generator=generator, dtype=dtype)
        self.y = torch.sin(self.x.sum(1, keepdim=True))
        state = torch.get_rng_state()
        torch.manual_seed(seed)
        self.net = Net(dropout, dtype)
        torch.set_rng_state(state)
        self.batch = batch
        self.slow = slow
        self.calls: list[tuple[int, int]] = []

    @property
    def model(self) -> nn.Module:
        return self.net

    def parameter_groups(self) -> list[ParameterGroup]:
        return parameter_groups(self.net)

    def batches(self, epoch: int) -> Any:
        return TinyBatches(self, epoch)

    def loss(self, batch: TinyBatch) -> tuple[Tensor, float]:
        if self.slow:
            time.sleep(self.slow)
        return nn.functional.mse_loss(self.net(batch.x), batch.y), len(batch.x)

    def validate(self) -> dict[str, float]:
        assert not self.net.training
        torch.rand(3)  # must not disturb training
        return {"loss": float(nn.functional.mse_loss(self.net(self.x), self.y).detach())}


class TinyBatches:
    def __init__(self, tiny: Tiny, epoch: int) -> None:
        self.tiny, self.epoch = tiny, epoch
        generator = torch.Generator().manual_seed(1000 + epoch)
        self.order = torch.randperm(len(tiny.x), generator=generator)

    def __len__(self) -> int:
        return -(-len(self.order) // self.tiny.batch)

    def __getitem__(self, index: int) -> TinyBatch:
        self.tiny.calls.append((self.epoch, index))
        rows = self.order[index * self.tiny.batch : (index + 1) * self.tiny.batch]
        return TinyBatch(self.tiny.x[rows], self.tiny.y[rows], rows.tolist())


def weights(tiny: Tiny) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in tiny.net.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
