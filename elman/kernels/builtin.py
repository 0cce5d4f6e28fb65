"""torch's own LSTM, GRU and RNN operators, for every step whose equations are theirs.

The packed data is cut into blocks, rectangles of steps and running rows, and the states are carried
from block to block; a uniform batch is one call. torch's PackedSequence path is never taken: its
backward pass zeroes a full-size tensor in every step and is quadratic in the number of steps.

oneDNN's LSTM (CPU; float32, bfloat16; no projection) pays for each call, so there neighbouring
lengths share a block: an added input that is 1 where a row has ended drives the forget gate to
exactly 1 and the input gate to exactly 0, which holds the cell state - value and gradient - while
the row idles; its hidden state is read from its last real step. Running backwards this needs zero
initial states (then an idle row stays at zero); otherwise the blocks are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import _VF, Tensor

from elman.compiler.ir import Step
from elman.kernels.blocks import Block, Placement, exact_blocks, merged_blocks
from elman.kernels.carry import Carry, States
from elman.kernels.fused import FusedParameters, Weights, join
from elman.kernels.layout import gather, scatter_beside
from elman.kernels.memo import memo
from elman.kernels.patterns import Found, find
from elman.kernels.reference import Call, replace

__all__ = ["FusedParameters", "found", "one_step", "run_builtin"]

_HOLD = {torch.float16: 3e4}  # what holds a gate shut or open; elsewhere 1e30


def found(step: Step) -> Found | None:
    """The operator whose equations the step has, or None."""
    return memo(find, step)


def weights_of(call: Call, match: Found) -> Weights:
    """The joined weights: the layer's own, or joined from the cell's parameters."""
    if isinstance(call.parameters, FusedParameters):
        return call.parameters.weights
    return join(call.parameters, match.names, match.pattern.gates, match.pattern.apart)


def run_builtin(call: Call) -> tuple[Tensor, States]:
    """Runs a step over a batch: the output `(N, O)` and the final states `(B, S)`, rows sorted."""
    match = found(call.step)
    assert match is not None, "launch asks before it runs"
    weights = weights_of(call, match)
    x = call.streams[call.step.inputs[0].name]
    layout = call.layout
    if layout.total == 0:
        return x.new_zeros(0, call.initial[0].shape[1]), call.initial
    if layout.is_uniform and call.resets is None:
        return _run_uniform(call, match.pattern.kind, weights, x)
    if _may_idle(call, match, x):
        placement = Placement(layout, merged_blocks(layout))
        if placement.index is not None:
            x, weights = _with_hold(x, weights, placement)
    else:
        placement = Placement(layout, _cut(call))
    output, final = _run_blocks(call, match.pattern.kind, weights, x, placement)
    if placement.index is not None:
        output = gather(output, placement.index)
    return output, final


def _run_uniform(call: Call, kind: str, weights: Weights, x: Tensor) -> tuple[Tensor, States]:
    sequence = x.view(call.layout.steps, call.layout.batch, x.shape[1])
    if call.reverse:
        sequence = sequence.flip(0)
    output, final = _operator(kind, sequence, call.initial, weights)
    if call.reverse:
        output = output.flip(0)
    return output.reshape(-1, output.shape[2]), final


def _cut(call: Call) -> list[Block]:
    cuts = call.reset_steps()
    if call.reverse:
        # A reset before step t of a reverse pass parts it from step t + 1.
        cuts = {t + 1 for t in cuts}
    return exact_blocks(call.layout, cuts)


def _may_idle(call: Call, match: Found, x: Tensor) -> bool:
    if match.pattern.kind != "lstm" or call.resets is not None:
        return False
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.bfloat16):
        return False
    if not torch.backends.mkldnn.is_available():
        return False
    if not call.reverse:
        return True
    return not any(s.requires_grad or bool(s.any()) for s in call.initial)


def _with_hold(x: Tensor, weights: Weights, placement: Placement) -> tuple[Tensor, Weights]:
    """The input laid out in blocks with the added column, and the weights with theirs."""
    assert placement.index is not None
    idle = placement.idle.to(x.dtype)[:, None]
    wide = scatter_beside(x, placement.index, idle)
    size = weights.ih.shape[0] // 4
    hold = _HOLD.get(weights.ih.dtype, 1e30)
    column = weights.ih.new_zeros(4, size, 1)
    column[0], column[1] = -hold, hold  # the gates stand in the order i, f, g, o
    ih = torch.cat([weights.ih, column.view(4 * size, 1)], dim=1)
    return wide, Weights(ih, weights.hh, weights.bias_ih, weights.bias_hh, weights.hr)


def _run_blocks(
    call: Call, kind: str, weights: Weights, x: Tensor, placement: Placement
) -> tuple[Tensor, States]:
    blocks = placement.blocks
    parts = list(x.split([block.size for block in blocks])) if len(blocks) > 1 else [x]
    order = list(range(len(blocks)))
    if call.reverse:
        order.reverse()
    carry = Carry(call.initial, [blocks[k].rows for k in order], reverse=call.reverse)
    resets = _block_resets(call, blocks) if call.resets is not None else {}
    outputs: list[Tensor] = [x] * len(blocks)
    for k in order:
        block = blocks[k]
        states = carry.enter(block.rows)
        if k in resets:
            states = replace(states, resets[k], call.fresh)
        sequence = parts[k].view(-1, block.rows, parts[k].shape[1])
        if call.reverse:
            sequence = sequence.flip(0)
        output, states = _operator(kind, sequence, states, weights)
        if placement.index is not None and not call.reverse:
            flat = output.reshape(-1, output.shape[2])
            states = (gather(flat, placement.last(block)), *states[1:])
        if call.reverse:
            output = output.flip(0)
        outputs[k] = output.reshape(-1, output.shape[2])
        carry.states = states
    return (torch.cat(outputs) if len(outputs) > 1 else outputs[0]), carry.final()


def _block_resets(call: Call, blocks: list[Block]) -> dict[int, Tensor]:
    """For each block that begins with a reset, the reset rows as `(rows, 1)`."""
    assert call.resets is not None
    steps, parts = call.reset_steps(), call.resets[:, None].split(call.layout.rows)
    first = {k: block.stop - 1 if call.reverse else block.start for k, block in enumerate(blocks)}
    return {k: parts[t] for k, t in first.items() if t in steps}


def _operator(kind: str, x: Tensor, states: States, weights: Weights) -> tuple[Tensor, States]:
    """One call of torch's operator on `(steps, rows, features)`."""
    if x.shape[0] == 1 and kind in _CELLS and x.device.type == "cpu":
        return one_step(kind, x[0], states, weights)
    flat = weights.flat()
    hidden = [state[None] for state in states]
    options = (weights.bias_ih is not None, 1, 0.0, torch.is_grad_enabled(), False, False)
    if kind.startswith("lstm"):
        y, h, c = _VF.lstm(x, hidden, flat, *options)
        return y, (h[0], c[0])
    operator: Callable[..., Any] = getattr(_VF, kind)
    y, h = operator(x, hidden[0], flat, *options)
    return y, (h[0],)


_CELLS: Mapping[str, str] = {
    "lstm": "lstm_cell",
    "gru": "gru_cell",
    "rnn_tanh": "rnn_tanh_cell",
    "rnn_relu": "rnn_relu_cell",
}


def one_step(kind: str, x: Tensor, states: States, weights: Weights) -> tuple[Tensor, States]:
    """torch's single step of `(B, F)`, a third of the time of a sequence of one.

    `kind`: "lstm", "gru", "rnn_tanh" or "rnn_relu". Gives `(1, B, H)` and the states `(B, H)`.
    """
    operator: Callable[..., Any] = getattr(_VF, _CELLS[kind])
    biases = (weights.bias_ih, weights.bias_hh)
    given = states if kind == "lstm" else states[0]
    result = operator(x, given, weights.ih, weights.hh, *biases)
    new: States = tuple(result) if kind == "lstm" else (result,)
    return new[0][None], new
