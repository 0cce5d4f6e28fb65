"""One head of attention over the last steps, to stand behind a recurrent stack.

    y_t = x_t + Drop(W_o sum_s a_ts v_s),   a_ts = softmax_s(q_t k_s / sqrt(d)),
    q, k, v = W_q u, W_k u, W_v u,   u = RMSNorm(x),   t - window < s <= t

A single head next to recurrent layers is most of what attention gives a language model (Merity
2019, "Single headed attention RNN"). There are no positions: the recurrence below knows the order.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from elman.errors import ConfigError, ShapeError
from elman.nn.dropout import SharedDropout
from elman.nn.norm import Norm

Memory = tuple[Tensor, Tensor, Tensor]
"""Keys and values of the last `window - 1` steps, `(window - 1, batch, size)` each, and how many
of them belong to the present document, `(1, batch, 1)` integers."""


class WindowAttention(nn.Module):
    """Each step looks at itself and at the `window - 1` steps before it; the state is a value.

    It starts as if it were not there: W_o begins with zeros.

    Args:
        size: features of a step, d.
        window: how many steps are seen, the present one included.
        dropout: a mask shared over time on what is added.

    `y, memory = attention(x, memory, resets)`: `x` and `y` are `(time, batch, size)`. Time and
    memory grow with `time * window`, whatever the length.

    Raises:
        ConfigError: a window below 1.
    """

    def __init__(self, size: int, window: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        if window < 1:
            raise ConfigError(f"got {window}, wanted a window of 1 step or more.", where="window")
        self.size, self.window = size, window
        self.norm = Norm(size)
        self.enter = nn.Linear(size, 3 * size, bias=False)
        self.leave = nn.Linear(size, size, bias=False)
        nn.init.zeros_(self.leave.weight)
        self.drop = SharedDropout(dropout)

    def initial(self, like: Tensor) -> Memory:
        """The memory before the first step of `like`, `(time, batch, size)`: nothing is seen."""
        keep, batch = self.window - 1, like.shape[1]
        zeros = like.new_zeros(keep, batch, self.size)
        return zeros, zeros, torch.zeros(1, batch, 1, dtype=torch.long, device=like.device)

    def forward(
        self, x: Tensor, memory: Memory | None = None, resets: Tensor | None = None
    ) -> tuple[Tensor, Memory]:
        """`(time, batch, size)` -> the same and the next memory.

        Nothing is seen across a reset (`resets`: `(time, batch)`, True where a row starts anew).

        Raises:
            ShapeError: `x` has another shape.
        """
        if x.dim() != 3 or x.shape[2] != self.size:
            got, wanted = tuple(x.shape), f"(time, batch, {self.size})"
            raise ShapeError(f"got an input of shape {got}, wanted {wanted}.")
        time = x.shape[0]
        old_keys, old_values, seen = self.initial(x) if memory is None else memory
        queries, keys, values = self.enter(self.norm(x)).chunk(3, dim=-1)
        keys, values = torch.cat([old_keys, keys]), torch.cat([old_values, values])
        pieces = self._pieces(seen, time, resets)
        parts: list[Tensor] = []
        for first in range(0, time, self.window):
            block = queries[first : first + self.window]
            past = slice(first, first + 2 * self.window - 1)
            parts.append(self._attended(block, keys[past], values[past], pieces[past]))
        y = x + self.drop(self.leave(torch.cat(parts)))
        known = (pieces[time:] == pieces[-1:]).sum(dim=0)
        return y, (keys[time:], values[time:], known[None, :, None])

    def _pieces(self, seen: Tensor, time: int, resets: Tensor | None) -> Tensor:
        """The document that each remembered and each new step belongs to, `(keep + time, batch)`.

        The one that goes on is 0, those after it count on; a step that may not be seen is -1.
        """
        keep, batch = self.window - 1, seen.shape[1]
        age = torch.arange(keep, 0, -1, device=seen.device)[:, None]
        before = torch.where(age <= seen[:, :, 0], 0, -1)
        if resets is None:
            return torch.cat([before, before.new_zeros(time, batch)])
        return torch.cat([before, resets.long().cumsum(0)])

    def _attended(self, queries: Tensor, keys: Tensor, values: Tensor, pieces: Tensor) -> Tensor:
        """What `(n, batch, size)` queries take from the `n + window - 1` steps up to them."""
        count, keep = queries.shape[0], self.window - 1
        step = torch.arange(count, device=queries.device)[:, None]
        place = torch.arange(count + keep, device=queries.device)
        near = (place >= step) & (place <= step + keep)
        owner = pieces.T
        seen = near & (owner[:, keep:, None] == owner[:, None, :])  # (batch, n, n + keep)
        found = functional.scaled_dot_product_attention(
            queries.transpose(0, 1)[:, None],
            keys.transpose(0, 1)[:, None],
            values.transpose(0, 1)[:, None],
            attn_mask=seen[:, None],
        )
        return found[:, 0].transpose(0, 1)

    def extra_repr(self) -> str:
        """The settings."""
        return f"size={self.size}, window={self.window}"
