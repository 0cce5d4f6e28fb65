"""Long sequences as many short ones: chop, recur, put together again.

Johnson & Zhang 2016 ("Supervised and semi-supervised text categorization using LSTM for region
embeddings") run the recurrence over segments of a text independently of one another: short
recurrences learn faster, and the segments of one text form a larger batch.
"""

from __future__ import annotations

import torch
from torch import Tensor


def chop(x: Tensor, lengths: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Chops each row into segments of `size` steps.

    Args:
        x: `(time, batch, features)`.
        lengths: `(batch,)`, the real steps of each row.
        size: steps in a segment.

    Returns:
        `(min(size, time), segments * batch, features)` and the real steps of each of these rows;
        segments behind a row's end have length 0. Row `s * batch + b` is segment `s` of row `b`.
    """
    time, batch, features = x.shape
    if time <= size:
        return x, lengths
    count = -(-time // size)
    padded = torch.cat([x, x.new_zeros(count * size - time, batch, features)])
    chopped = padded.view(count, size, batch, features).transpose(0, 1)
    start = torch.arange(count, device=lengths.device)[:, None] * size
    real = (lengths[None, :] - start).clamp(min=0, max=size)
    return chopped.reshape(size, count * batch, features), real.reshape(-1)


def join(y: Tensor, time: int, batch: int) -> Tensor:
    """Undoes `chop`: `(size, segments * batch, features)` -> `(time, batch, features)`."""
    size, rows, features = y.shape
    if rows == batch:
        return y
    count = rows // batch
    whole = y.view(size, count, batch, features).transpose(0, 1)
    return whole.reshape(count * size, batch, features)[:time]
