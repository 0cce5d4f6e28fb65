"""Loops in torch, written as well as a loop can be: inputs unbound, gates in one product."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


class Loop(nn.Module):
    """A layer of one of the cells below, `(T, B, F)` -> `(T, B, H)`.

    Args:
        name: of the cell in elman's catalogue.
        hidden: H, also the features of the input.
    """

    def __init__(self, name: str, hidden: int) -> None:
        super().__init__()
        self.run, gates, recurrent, extra = LOOPS[name]
        bound = hidden**-0.5

        def parameter(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))

        self.w, self.b = parameter(gates * hidden, hidden), parameter(gates * hidden)
        self.r = nn.ParameterList(parameter(count * hidden, hidden) for count in recurrent)
        self.u = nn.ParameterList(parameter(hidden) for _ in range(extra))

    def forward(self, x: Tensor) -> Tensor:
        """The outputs of all steps."""
        zero = x.new_zeros(x.shape[1], x.shape[2])
        return self.run(functional.linear(x, self.w, self.b), zero, self, x)


def _gru_before(pre: Tensor, h: Tensor, layer: Loop, _x: Tensor) -> Tensor:
    size = h.shape[1]
    r2, rn = layer.r[0].t(), layer.r[1].t()
    found = []
    for gates, new in zip(*(p.unbind(0) for p in pre.split([2 * size, size], dim=2)), strict=True):
        r, z = torch.addmm(gates, h, r2).sigmoid().chunk(2, dim=1)
        n = torch.addmm(new, r * h, rn).tanh()
        h = torch.lerp(n, h, z)
        found.append(h)
    return torch.stack(found)


def _peephole(pre: Tensor, h: Tensor, layer: Loop, _x: Tensor) -> Tensor:
    r, c = layer.r[0].t(), h
    pi, pf, po = layer.u
    found = []
    for gates in pre.unbind(0):
        i, f, g, o = torch.addmm(gates, h, r).chunk(4, dim=1)
        i, f = torch.addcmul(i, pi, c).sigmoid(), torch.addcmul(f, pf, c).sigmoid()
        c = torch.addcmul(f * c, i, g.tanh())
        h = torch.addcmul(o, po, c).sigmoid() * c.tanh()
        found.append(h)
    return torch.stack(found)


def _mgu(pre: Tensor, h: Tensor, layer: Loop, _x: Tensor) -> Tensor:
    size = h.shape[1]
    rf, rh = layer.r[0].t(), layer.r[1].t()
    found = []
    for gate, new in zip(*(p.unbind(0) for p in pre.split(size, dim=2)), strict=True):
        f = torch.addmm(gate, h, rf).sigmoid()
        n = torch.addmm(new, f * h, rh).tanh()
        h = torch.lerp(h, n, f)
        found.append(h)
    return torch.stack(found)


def _layer_norm_lstm(pre: Tensor, h: Tensor, layer: Loop, _x: Tensor) -> Tensor:
    size, r, c = h.shape[1], layer.r[0].t(), h
    gain, shift = layer.u[1], layer.u[2]
    norm = functional.layer_norm
    pre = norm(pre.unflatten(2, (4, size)), (size,))
    weight = layer.u[0].expand(4, size)
    found = []
    for gates in pre.unbind(0):
        own = norm((h @ r).unflatten(1, (4, size)), (size,))
        i, f, o, g = torch.addcmul(gates, weight, own).unbind(1)
        c = torch.addcmul(f.sigmoid() * c, i.sigmoid(), g.tanh())
        h = o.sigmoid() * norm(c, (size,), gain, shift).tanh()
        found.append(h)
    return torch.stack(found)


def _lem(pre: Tensor, y: Tensor, layer: Loop, _x: Tensor) -> Tensor:
    size, z = y.shape[1], y
    r3, ry = layer.r[0].t(), layer.r[1].t()
    found = []
    for gates, last in zip(*(p.unbind(0) for p in pre.split([3 * size, size], 2)), strict=True):
        a, c, new = torch.addmm(gates, y, r3).chunk(3, dim=1)
        z = torch.lerp(z, new.tanh(), a.sigmoid())
        y = torch.lerp(y, torch.addmm(last, z, ry).tanh(), c.sigmoid())
        found.append(y)
    return torch.stack(found)


def _min_gru(pre: Tensor, h: Tensor, _layer: Loop, _x: Tensor) -> Tensor:
    gate, new = pre.chunk(2, dim=2)
    found = []
    for z, n in zip(gate.sigmoid().unbind(0), new.unbind(0), strict=True):
        h = torch.lerp(h, n, z)
        found.append(h)
    return torch.stack(found)


def _rglru_terms(pre: Tensor, layer: Loop, x: Tensor) -> tuple[Tensor, Tensor]:
    r, i = pre.sigmoid().chunk(2, dim=2)
    log = 8.0 * r * functional.logsigmoid(layer.u[0])
    return log, (-torch.expm1(2 * log)).sqrt() * (i * x)


def _rglru(pre: Tensor, h: Tensor, layer: Loop, x: Tensor) -> Tensor:
    log, new = _rglru_terms(pre, layer, x)
    found = []
    for a, b in zip(log.exp().unbind(0), new.unbind(0), strict=True):
        h = torch.addcmul(b, a, h)
        found.append(h)
    return torch.stack(found)


def _scan(log_decay: Tensor, log_value: Tensor) -> Tensor:
    """Heinsen 2023, as Feng et al. 2024 use it: h_t = a_t h_t-1 + v_t for positive v."""
    decay = log_decay.cumsum(dim=0)
    return (decay + (log_value - decay).logcumsumexp(dim=0)).exp()


def _min_gru_scan(pre: Tensor, _h: Tensor, _layer: Loop, _x: Tensor) -> Tensor:
    gate, new = pre.chunk(2, dim=2)
    positive = torch.where(new >= 0, (functional.relu(new) + 0.5).log(), functional.logsigmoid(new))
    return _scan(-functional.softplus(gate), -functional.softplus(-gate) + positive)


def _rglru_scan(pre: Tensor, _h: Tensor, layer: Loop, x: Tensor) -> Tensor:
    log, new = _rglru_terms(pre, layer, x)
    return _scan(log, new.abs().clamp_min(1e-30).log())


Run = Callable[[Tensor, Tensor, Loop, Tensor], Tensor]

LOOPS: dict[str, tuple[Run, int, tuple[int, ...], int]] = {
    "GRUResetBefore": (_gru_before, 3, (2, 1), 0),
    "PeepholeLSTM": (_peephole, 4, (4,), 3),
    "MGU": (_mgu, 2, (1, 1), 0),
    "LayerNormLSTM": (_layer_norm_lstm, 4, (4,), 3),
    "LEM": (_lem, 4, (3, 1), 0),
    "minGRU": (_min_gru, 2, (), 0),
    "RGLRU": (_rglru, 2, (), 1),
    "minGRU scan": (_min_gru_scan, 2, (), 0),
    "RGLRU scan": (_rglru_scan, 2, (), 1),
}
"""How it runs; gates of the input; gates of each product of a state; further vectors."""
