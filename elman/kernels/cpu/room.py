"""Memory that is used again: what a loop keeps for its adjoint, and the adjoint's own columns.

Fresh memory costs a page fault for every 4 kB, about as much as the arithmetic on it. Buffers of
a megabyte and more are therefore kept when nobody uses them any longer, and handed out again. Only
what never leaves the kernels may live here.
"""

from __future__ import annotations

import math
import os
import weakref

import torch
from torch import Tensor

_LEAST = 1 << 20
_ALIGN = 64


class Pool:
    """Buffers on loan.

    Args:
        limit: bytes that may lie idle; above it, what has lain longest goes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._idle: list[Tensor] = []  # oldest first; only list operations that are atomic

    @property
    def idle(self) -> int:
        """Bytes that lie idle."""
        return sum(buffer.numel() for buffer in list(self._idle))

    def take(self, *shape: int, dtype: torch.dtype) -> Tensor:
        """A tensor, not filled; its memory comes back when it and every view of it are gone.

        The memory is tied to this one tensor object: keep it alive while a view is in use.
        """
        size = math.prod(shape) * dtype.itemsize
        if size < _LEAST:
            return torch.empty(shape, dtype=dtype)
        buffer = self._found(size)
        if buffer is None:
            buffer = torch.empty(size + size // 8 + _ALIGN, dtype=torch.uint8)
        start = -buffer.data_ptr() % _ALIGN
        tensor = buffer[start : start + size].view(dtype).view(shape)
        weakref.finalize(tensor, self._back, buffer).atexit = False
        return tensor

    def _found(self, size: int) -> Tensor | None:
        """The smallest idle buffer that is large enough, and not twice as large."""
        fitting = [b for b in list(self._idle) if size + _ALIGN <= b.numel() <= 2 * size + _ALIGN]
        for buffer in sorted(fitting, key=Tensor.numel):
            for place, other in enumerate(self._idle):
                if other is buffer:
                    del self._idle[place]
                    return buffer
        return None

    def _back(self, buffer: Tensor) -> None:
        self._idle.append(buffer)
        while self._idle and self.idle > self.limit:
            del self._idle[0]


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 4 << 30


POOL = Pool(_memory() // 8)
