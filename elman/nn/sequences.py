"""The accepted forms of a batch of sequences, and the way back.

| form | how it is given |
| --- | --- |
| padded `(T, B, F)`, batch first `(B, T, F)` | alone, with `lengths=` or with `mask=` |
| one sequence `(T, F)` | alone, with `lengths=` (one number) or with `mask=` |
| `PackedSequence` | alone: it knows its lengths |
| jagged nested tensor `(B, j, F)` | alone: it knows its lengths |

All of them become packed data and a `Layout`; what stands in the padding is never read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from elman.errors import ShapeError
from elman.kernels.layout import Layout, gather, scatter

Sequences = Tensor | PackedSequence
Lengths = Tensor | Sequence[int] | int


@dataclass
class OpenBatch:
    """A batch in the packed layout that remembers the form it came in.

    Attributes:
        data: the real steps, `(N, F)`.
        layout: where they lie.
        unbatched: whether it was one sequence without a batch dimension.
        frame: the padded `(T, B)`; for packed and jagged forms T is the longest length.
        batch_first: whether padded tensors have the batch first.
        index: for each real step its place in the flattened form; None when they agree.
        packed, jagged: the batch itself when it came in such a form.
    """

    data: Tensor
    layout: Layout
    unbatched: bool
    frame: tuple[int, int]
    batch_first: bool
    index: Tensor | None
    packed: PackedSequence | None = None
    jagged: Tensor | None = None

    def restore(self, data: Tensor) -> Any:
        """Packed `(N, O)` -> the form that the batch came in, zero in the padding."""
        if self.packed is not None:
            p = self.packed
            return PackedSequence(data, p.batch_sizes, p.sorted_indices, p.unsorted_indices)
        if self.jagged is not None:
            return _restore_jagged(self.jagged, data, self.index)
        time, batch = self.frame
        if self.index is None:
            y = data.reshape(time, batch, data.shape[1])
            y = y.transpose(0, 1) if self.batch_first and not self.unbatched else y
        else:
            first, second = (batch, time) if self.batch_first else (time, batch)
            y = scatter(data, self.index, time * batch).reshape(first, second, data.shape[1])
        if self.unbatched:
            y = y.reshape(time, data.shape[1])
        return y

    def pack(self, value: Any, name: str) -> Tensor:
        """Packs another value with one entry a step: a stream `(..., F)` or `(...)`, a mask.

        It has the batch's own form, without features or with them; returned as `(N, F)`.
        A padded tensor is accepted beside a packed or jagged batch too.
        """
        if isinstance(value, PackedSequence):
            return self._pack_packed(value, name)
        if not isinstance(value, Tensor):
            raise ShapeError(
                f"got {type(value).__name__} for {name}, wanted a tensor with one entry a step."
            )
        if value.is_nested:
            return self._pack_nested(value, name)
        return self._pack_padded(value, name)

    def pack_marks(self, value: Any, name: str) -> Tensor:
        """Packs what is true or false in each step: `(N,)`."""
        marks = self.pack(value, name)
        if marks.shape[1] != 1:
            raise ShapeError(
                f"got {name} of {marks.shape[1]} features, wanted one mark a step.",
                hint="Leave the dimension of features out.",
            )
        return marks[:, 0].bool()

    def _pack_packed(self, value: PackedSequence, name: str) -> Tensor:
        mine = self.packed
        if mine is None or not torch.equal(mine.batch_sizes, value.batch_sizes):
            raise ShapeError(
                f"got a PackedSequence for {name} with other lengths than the input's, "
                "wanted the form and the lengths of the input."
            )
        order, wanted = value.sorted_indices, mine.sorted_indices
        if order is None and wanted is None:
            return _with_features(value.data, 1)
        rows = torch.arange(self.layout.batch, device=value.data.device)
        order, wanted = (rows if part is None else part for part in (order, wanted))
        if torch.equal(order, wanted):
            return _with_features(value.data, 1)
        # Rows of one length may stand in another order there.
        padded, _ = pad_packed_sequence(value, batch_first=self.batch_first)
        return self._pack_padded(padded, name)

    def _pack_nested(self, value: Any, name: str) -> Tensor:
        values = value.values()
        mine: Any = self.jagged
        if mine is None or not torch.equal(mine.offsets(), value.offsets()):
            raise ShapeError(
                f"got a nested tensor for {name} that does not go with the input, "
                "wanted the form and the lengths of the input."
            )
        assert self.index is not None
        return gather(_with_features(values, 1), self.index)

    def _pack_padded(self, value: Tensor, name: str) -> Tensor:
        time, batch = self.frame
        if self.unbatched:
            wanted: tuple[int, ...] = (time,)
        else:
            wanted = (batch, time) if self.batch_first else (time, batch)
        if tuple(value.shape[: len(wanted)]) != wanted or value.dim() > len(wanted) + 1:
            raise ShapeError(
                f"got {name} of shape {tuple(value.shape)}, wanted {wanted} as the input has, "
                "with or without features behind it."
            )
        if value.device != self.data.device:
            raise ShapeError(
                f"got {name} on {value.device} and the input on {self.data.device}, "
                "wanted both on one device."
            )
        value = _with_features(value, len(wanted))
        if self.unbatched:
            value = value[None] if self.batch_first else value[:, None]
        if self.packed is not None or self.jagged is not None:
            value = value.transpose(0, 1) if self.batch_first else value
            return self.layout.pack(value)
        if self.index is None:
            value = value.transpose(0, 1) if self.batch_first else value
            return value.reshape(time * batch, value.shape[2])
        return gather(value.reshape(time * batch, value.shape[2]), self.index)


def _with_features(value: Tensor, leading: int) -> Tensor:
    return value[..., None] if value.dim() == leading else value


def open_batch(
    x: Any,
    *,
    features: int,
    batch_first: bool = False,
    lengths: Lengths | None = None,
    mask: Tensor | None = None,
) -> OpenBatch:
    """Reads a batch in any of the accepted forms.

    Args:
        x: the batch.
        features: the wanted size F of its last dimension.
        batch_first: whether padded tensors are `(B, T, F)`.
        lengths: real steps of each row `(B,)`, integers on any device, unsorted, zeros allowed.
        mask: True (or 1) where a step is real, `(T, B)` or `(B, T)` as `batch_first` says. Steps
            may be missing anywhere, also at the beginning or in the middle: a missing step leaves
            the state as it is and its output is zero.

    Raises:
        ShapeError: a shape, dtype, device or length that cannot be used.
    """
    if isinstance(x, PackedSequence):
        _refuse_lengths("a PackedSequence", lengths, mask)
        return _open_packed(x, features, batch_first)
    if not isinstance(x, Tensor):
        raise ShapeError(
            f"got {type(x).__name__} as input, wanted a tensor, a PackedSequence or a jagged "
            "nested tensor."
        )
    if x.is_nested:
        _refuse_lengths("a nested tensor", lengths, mask)
        return _open_jagged(x, features, batch_first)
    return _open_padded(x, features, batch_first, lengths, mask)


def _refuse_lengths(form: str, lengths: Lengths | None, mask: Tensor | None) -> None:
    if lengths is not None or mask is not None:
        raise ShapeError(f"got {form} and lengths or a mask besides: {form} knows its lengths.")


def _check_features(got: int, wanted: int) -> None:
    if got != wanted:
        raise ShapeError(f"got an input of {got} features, wanted the layer's {wanted}.")


def _open_packed(x: PackedSequence, features: int, batch_first: bool) -> OpenBatch:
    if x.data.dim() != 2:
        raise ShapeError(
            f"got packed data of shape {tuple(x.data.shape)}, wanted (steps, {features})."
        )
    _check_features(x.data.shape[1], features)
    sizes: list[int] = x.batch_sizes.tolist()
    batch = sizes[0]
    lengths = [0] * batch
    for t, n in enumerate(sizes):
        following = sizes[t + 1] if t + 1 < len(sizes) else 0
        for row in range(following, n):
            lengths[row] = t + 1
    layout = Layout(
        lengths, device=x.data.device, order=x.sorted_indices, inverse=x.unsorted_indices
    )
    return OpenBatch(x.data, layout, False, (len(sizes), batch), batch_first, None, packed=x)


def _open_jagged(x: Any, features: int, batch_first: bool) -> OpenBatch:
    if x.layout != torch.jagged:
        raise ShapeError(
            "got a nested tensor of the strided layout, wanted a jagged one.",
            hint="Build it with torch.nested.nested_tensor(..., layout=torch.jagged).",
        )
    if x.dim() != 3 or getattr(x, "_ragged_idx", 1) != 1:
        raise ShapeError(
            f"got a nested tensor of {x.dim()} dimensions, wanted (batch, jagged time, {features})."
        )
    _check_features(x.size(2), features)
    offsets = x.offsets()
    sizes = offsets.diff() if x.lengths() is None else x.lengths()
    counts: list[int] = sizes.tolist()
    layout = Layout(counts, device=x.device)
    index = offsets[:-1].to(x.device)[layout.original_row_of] + layout.step_of
    data = gather(x.values(), index)
    frame = (layout.steps, layout.batch)
    return OpenBatch(data, layout, False, frame, batch_first, index, jagged=x)


def _restore_jagged(x: Any, data: Tensor, index: Tensor | None) -> Tensor:
    assert index is not None
    values = scatter(data, index, x.values().shape[0])
    return torch.nested.nested_tensor_from_jagged(
        values, offsets=x.offsets(), lengths=x.lengths(), jagged_dim=1
    )


def _open_padded(
    x: Tensor, features: int, batch_first: bool, lengths: Lengths | None, mask: Tensor | None
) -> OpenBatch:
    names = "(batch, time, {})" if batch_first else "(time, batch, {})"
    if x.dim() not in (2, 3):
        raise ShapeError(
            f"got an input of shape {tuple(x.shape)}, wanted {names.format(features)}, or "
            f"(time, {features}) for one sequence."
        )
    _check_features(x.shape[-1], features)
    unbatched = x.dim() == 2
    if unbatched:
        x = x[None] if batch_first else x[:, None]
    time, batch = (x.shape[1], x.shape[0]) if batch_first else (x.shape[0], x.shape[1])
    if time == 0:
        raise ShapeError(
            f"got an input of shape {tuple(x.shape)} without a time step, wanted at least one.",
            hint="A row without steps is a row of length 0 in a batch that has steps.",
        )
    if lengths is not None and mask is not None:
        raise ShapeError("got lengths and a mask, wanted one of them.")
    places: Tensor | None = None
    counts: list[int] | None = None
    if mask is not None:
        counts, places = _read_mask(mask, time, batch, batch_first, unbatched)
        places = None if places is None else places.to(x.device)
    elif lengths is not None:
        counts = read_lengths(lengths, time, batch)
    if places is None and (counts is None or all(n == time for n in counts)):
        flat = (x.transpose(0, 1) if batch_first else x).reshape(time * batch, features)
        layout = Layout.uniform(time, batch, x.device)
        return OpenBatch(flat, layout, unbatched, (time, batch), batch_first, None)
    layout = Layout(counts or [], device=x.device)
    step, row = layout.step_of, layout.original_row_of
    step = step if places is None else places[step, row]
    index = row * time + step if batch_first else step * batch + row
    data = gather(x.reshape(time * batch, features), index)
    return OpenBatch(data, layout, unbatched, (time, batch), batch_first, index)


def read_lengths(lengths: Lengths, time: int, batch: int) -> list[int]:
    """Checks the real steps of each row.

    Raises:
        ShapeError: not integers, not `(batch,)`, negative, or longer than `time`.
    """
    try:
        given = lengths if isinstance(lengths, Tensor) else torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ShapeError(f"got the lengths {lengths!r}, wanted integers.") from error
    if given.numel() and (given.is_floating_point() or given.is_complex() or _is_bool(given)):
        raise ShapeError(f"got lengths of dtype {given.dtype}, wanted integers.")
    if given.dim() == 0 and batch == 1:
        given = given[None]
    if tuple(given.shape) != (batch,):
        raise ShapeError(
            f"got lengths of shape {tuple(given.shape)}, wanted ({batch},), one a row of the batch."
        )
    counts: list[int] = given.tolist()
    for row, n in enumerate(counts):
        if n < 0:
            raise ShapeError(f"got the length {n} in row {row}, wanted 0 or more.")
        if n > time:
            raise ShapeError(f"got the length {n} in row {row}, wanted at most the {time} steps.")
    return counts


def _is_bool(value: Tensor) -> bool:
    return value.dtype == torch.bool


def _read_mask(
    mask: Tensor, time: int, batch: int, batch_first: bool, unbatched: bool
) -> tuple[list[int], Tensor | None]:
    """The number of real steps a row, and where they are, `(T, B)`, unless they come first."""
    wanted = (time,) if unbatched else ((batch, time) if batch_first else (time, batch))
    if not isinstance(mask, Tensor):
        raise ShapeError(f"got {type(mask).__name__} as a mask, wanted a tensor of shape {wanted}.")
    if tuple(mask.shape) != wanted:
        raise ShapeError(
            f"got a mask of shape {tuple(mask.shape)}, wanted {wanted}, True where a step is real."
        )
    if not _is_bool(mask):
        if not bool(((mask == 0) | (mask == 1)).all()):
            raise ShapeError(f"got a mask of dtype {mask.dtype} with values beside 0 and 1.")
        mask = mask.bool()
    real = mask[:, None] if unbatched else (mask.transpose(0, 1) if batch_first else mask)
    counts: list[int] = real.sum(dim=0).tolist()
    if not bool((real[1:] & ~real[:-1]).any()):
        return counts, None
    return counts, torch.argsort(real.to(torch.uint8), dim=0, descending=True, stable=True)
