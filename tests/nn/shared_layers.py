"""What other processes do with a layer; they import it from here."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset

import elman.nn

LENGTHS = torch.tensor([9, 4, 7, 1, 9, 3, 2, 8, 5, 9, 6, 1])


def layer() -> nn.Module:
    torch.manual_seed(0)
    return elman.nn.LSTM(5, 24, num_layers=2, bidirectional=True)


def batch() -> Tensor:
    return torch.randn(9, 12, 5, generator=torch.Generator().manual_seed(1))


def gradients(model: nn.Module, x: Tensor, lengths: Tensor) -> list[Tensor]:
    model.zero_grad()
    y, _ = model(x, lengths=lengths)
    y.square().sum().backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def distributed(rank: int, folder: str, cut: list[slice]) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=len(cut)
    )
    part = cut[rank]
    found = gradients(DistributedDataParallel(layer()), batch()[:, part], LENGTHS[part])
    if rank == 0:
        named = {str(k): value for k, value in enumerate(found)}
        save_file(named, Path(folder) / "gradients.safetensors")
    # DDP's model is in a cycle of references: uncollected, it keeps gloo's threads until the
    # interpreter is gone, and torch (2.13) may abort then; it does so with nn.Linear too.
    gc.collect()
    dist.destroy_process_group()


class Rows(Dataset[Any]):
    """Runs a layer for every row, as a frozen encoder would."""

    def __init__(self) -> None:
        self.layer = layer()

    def __len__(self) -> int:
        return 12

    def __getitem__(self, row: int) -> Tensor:
        with torch.no_grad():
            y, _ = self.layer(batch()[: LENGTHS[row], row])
        return y[-1]
