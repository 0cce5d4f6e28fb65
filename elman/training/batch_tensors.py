"""The tensors inside a batch of any make: to move them, and to save them after a fault."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def to_device(batch: Any, device: torch.device) -> Any:
    """The batch with its tensors on `device`; on the CPU the batch itself."""
    if device.type == "cpu":
        return batch
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if callable(getattr(batch, "to", None)):
        return batch.to(device)
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        fields = [field.name for field in dataclasses.fields(batch) if field.init]
        return dataclasses.replace(
            batch, **{name: to_device(getattr(batch, name), device) for name in fields}
        )
    if isinstance(batch, Mapping):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple):
        moved = [to_device(value, device) for value in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else tuple(moved)
    if isinstance(batch, list) and any(isinstance(value, (Tensor, tuple, list)) for value in batch):
        return [to_device(value, device) for value in batch]
    return batch


def tensors_of(batch: Any, name: str = "") -> dict[str, Tensor]:
    """Every tensor, and every list of numbers, in the batch under its dotted name."""
    if isinstance(batch, Tensor):
        return {name or "batch": batch.detach()}
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        parts = [(field.name, getattr(batch, field.name)) for field in dataclasses.fields(batch)]
    elif isinstance(batch, Mapping):
        parts = list(batch.items())
    elif isinstance(batch, tuple) and hasattr(batch, "_fields"):
        parts = list(zip(getattr(batch, "_fields"), batch, strict=True))  # noqa: B009
    elif isinstance(batch, (list, tuple)):
        if batch and all(isinstance(value, (int, float)) for value in batch):
            return {name or "batch": torch.tensor(batch)}
        parts = list(enumerate(batch))
    elif hasattr(batch, "__dict__"):
        parts = list(vars(batch).items())
    else:
        return {}
    found: dict[str, Tensor] = {}
    for key, value in parts:
        found |= tensors_of(value, f"{name}.{key}" if name else str(key))
    return found
