"""Matrices in panels: against the definition, element by element."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.kernels.cpu.panels import Copy, copy_to_panels
from elman.kernels.cpu.target import host, restricted

SIZES = st.integers(1, 70)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(SIZES, SIZES, st.integers(0, 2), st.booleans()), min_size=1, max_size=3),
    st.sampled_from([1, 2, 4]),
    st.booleans(),
)
@pytest.mark.parametrize("bits", [bits for bits in (512, 256, 128) if bits <= host().bits])
def test_every_unit_stands_in_its_panel(bits, matrices, vectors, double):
    dtype = torch.float64 if double else torch.float32
    width = restricted(bits).lanes(double) * vectors
    copies: list[Copy] = []
    for units, steps, form, negative in matrices:
        wide = torch.randn(2 * units, 2 * steps, dtype=dtype)
        # Rows that lie apart, columns that lie side by side, and neither.
        found = (wide[:units, :steps], wide.t()[:steps, :units].t(), wide[::2, ::2])[form]
        found = found[:units, :steps]
        room = torch.full((-(-units // width), steps, 3, width), torch.nan, dtype=dtype)
        copies.append(Copy(found, room[:, :, 1], negative))
    copy_to_panels(copies, restricted(bits))
    for copy in copies:
        matrix = -copy.matrix if copy.negative else copy.matrix
        for unit in range(copy.panels.shape[0] * width):
            kept = copy.panels[unit // width, :, unit % width]
            wanted = matrix[unit] if unit < len(matrix) else torch.zeros(len(kept))
            assert torch.equal(kept.double(), wanted.double())


def test_what_lies_beside_a_panel_stays():
    room = torch.full((2, 5, 3, 64), 7.0)
    copy_to_panels([Copy(torch.randn(100, 5), room[:, :, 1])], host())
    assert room[:, :, 0].eq(7).all()
    assert room[:, :, 2].eq(7).all()


def test_nothing_to_copy():
    copy_to_panels([], host())
