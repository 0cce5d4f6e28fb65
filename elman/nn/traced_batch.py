"""A padded batch under torch.compile and torch.export: what `OpenBatch` is elsewhere.

A tracer sees no numbers, so nothing here depends on a length: rows are masked and sorted by
operators of the graph, and the range of lengths is checked when it runs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from elman.errors import ShapeError
from elman.nn.pooling import real_steps


class TracedBatch:
    """A batch `(T, B, F)` with the real steps of each row first, zero behind them.

    Attributes:
        data: `(T, B, F)`.
        lengths: real steps of each row `(B,)`; None: all.
        unbatched: whether it came as one sequence `(T, F)`.
    """

    def __init__(
        self, x: Any, features: int, *, batch_first: bool, lengths: Any, mask: Tensor | None
    ) -> None:
        """The arguments are those of `open_batch`.

        Raises:
            ShapeError: a packed or nested batch, lengths that are no tensor, lengths and a mask,
                or shapes that do not fit.
        """
        if not isinstance(x, Tensor) or x.is_nested:
            raise ShapeError(
                "a compiled layer reads padded tensors; give lengths=, not a packed batch."
            )
        if x.dim() not in (2, 3) or x.shape[-1] != features:
            raise ShapeError(f"got {x.dim()} dimensions, wanted (time, batch, {features}).")
        if lengths is not None and mask is not None:
            raise ShapeError("got lengths and a mask, wanted one of them.")
        self.unbatched, self._batch_first = x.dim() == 2, batch_first
        self._frame = tuple(x.shape[:-1])
        self._order: Tensor | None = None
        self.lengths: Tensor | None = None
        if lengths is not None:
            self.lengths = _read_lengths(lengths, self._rows(x)).to(x.device)
        if mask is not None:
            real = self.pack(mask.to(x.device), "a mask", features=False).bool()
            self.lengths = real.sum(dim=0)
            self._order = torch.argsort(real.to(torch.uint8), dim=0, descending=True, stable=True)
        data = self.pack(x, "the input")
        if self.lengths is not None:
            # What stands in the padding must not reach a norm's gradient or a residual sum.
            data = torch.where(real_steps(self.lengths, data.shape[0])[..., None], data, 0.0)
        self.data = data

    def _rows(self, x: Tensor) -> int:
        return 1 if self.unbatched else x.shape[0 if self._batch_first else 1]

    def pack(self, value: Tensor, name: str, *, features: bool = True) -> Tensor:
        """What has one entry a step: `(T, B, F)`, or `(T, B)` if it has no features to have."""
        count = len(self._frame)
        fits = value.dim() - count in ((0, 1) if features else (0,))
        if not fits or tuple(value.shape[:count]) != self._frame:
            raise ShapeError(f"got {name} of shape {tuple(value.shape)}, wanted {self._frame}.")
        value = value[..., None] if features and value.dim() == count else value
        if self.unbatched:
            value = value[:, None]
        elif self._batch_first:
            value = value.transpose(0, 1)
        return value if self._order is None else value.gather(0, _wide(self._order, value))

    def restore(self, y: Tensor) -> Tensor:
        """`(T, B, O)`, zero in the padding -> the form that the batch came in."""
        if self._order is not None:
            y = torch.zeros_like(y).scatter(0, _wide(self._order, y), y)
        if self.unbatched:
            return y[:, 0]
        return y.transpose(0, 1) if self._batch_first else y


def _wide(order: Tensor, value: Tensor) -> Tensor:
    return order if value.dim() == 2 else order[..., None].expand_as(value)


def _read_lengths(lengths: Any, rows: int) -> Tensor:
    if not isinstance(lengths, Tensor):
        raise ShapeError("a compiled layer reads lengths from a tensor.")
    if lengths.dtype == torch.bool or lengths.is_floating_point() or lengths.is_complex():
        raise ShapeError(f"got lengths of dtype {lengths.dtype}, wanted integers.")
    lengths = lengths[None] if lengths.dim() == 0 else lengths
    if lengths.dim() != 1 or lengths.shape[0] != rows:
        raise ShapeError(
            f"got lengths of shape {tuple(lengths.shape)}, wanted ({rows},), one a row of the "
            "batch."
        )
    return lengths
