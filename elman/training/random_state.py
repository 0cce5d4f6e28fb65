"""The global random generators: seeded, captured, put back, and stored as tensors (no pickle)."""

from __future__ import annotations

import math
import random
import sys
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Snapshot:
    """The states of torch's, Python's and (where it is in use) numpy's generators."""

    torch_cpu: Tensor
    python: tuple[Any, ...]
    numpy: tuple[Any, ...] | None = None
    cuda: list[Tensor] = field(default_factory=list)

    def tensors(self) -> dict[str, Tensor]:
        """The same as tensors that safetensors can hold."""
        version, words, gauss = self.python
        found = {
            "torch": self.torch_cpu,
            "python": torch.tensor([version, *words], dtype=torch.int64),
            "python.gauss": _optional(gauss),
        }
        if self.numpy is not None:
            _, keys, position, has_gauss, cached = self.numpy
            found["numpy"] = torch.tensor([position, has_gauss, *keys.tolist()], dtype=torch.int64)
            found["numpy.gauss"] = torch.tensor([cached], dtype=torch.float64)
        return found | {f"cuda.{number}": state for number, state in enumerate(self.cuda)}


def _optional(value: float | None) -> Tensor:
    return torch.tensor([math.nan if value is None else value], dtype=torch.float64)


def from_tensors(found: dict[str, Tensor]) -> Snapshot:
    """The inverse of `Snapshot.tensors`."""
    version, *words = found["python"].tolist()
    gauss = float(found["python.gauss"][0])
    numpy_state = None
    if "numpy" in found:
        import numpy as np

        position, has_gauss, *keys = found["numpy"].tolist()
        cached = float(found["numpy.gauss"][0])
        numpy_state = ("MT19937", np.array(keys, dtype=np.uint32), position, has_gauss, cached)
    return Snapshot(
        torch_cpu=found["torch"].clone(),
        python=(version, tuple(words), None if math.isnan(gauss) else gauss),
        numpy=numpy_state,
        cuda=[found[name].clone() for name in sorted(found) if name.startswith("cuda.")],
    )


def capture() -> Snapshot:
    """The generators' present states; costs a few microseconds."""
    numpy = sys.modules.get("numpy")
    in_use = torch.cuda.is_available() and torch.cuda.is_initialized()
    return Snapshot(
        torch_cpu=torch.get_rng_state(),
        python=random.getstate(),
        numpy=numpy.random.get_state() if numpy is not None else None,
        cuda=[state.cpu() for state in torch.cuda.get_rng_state_all()] if in_use else [],
    )


def restore(snapshot: Snapshot) -> None:
    """Puts the generators back; devices that are not here are left out."""
    torch.set_rng_state(snapshot.torch_cpu)
    random.setstate(snapshot.python)
    if snapshot.numpy is not None:
        import numpy as np

        np.random.set_state(snapshot.numpy)
    if snapshot.cuda and torch.cuda.is_available():
        for number, state in enumerate(snapshot.cuda[: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(state, number)


def seed(value: int, rank: int) -> None:
    """Seeds all generators; processes of one run draw different numbers (dropout masks)."""
    own = (value + 0x9E3779B1 * rank) % 2**32
    torch.manual_seed(own)
    random.seed(own)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(own)
