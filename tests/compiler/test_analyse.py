"""The derived facts, against the table of the notation."""

import pytest

from elman.cells import catalogue, cell
from elman.cells.notation import R, U, W, b, mean, sigmoid, tanh, u
from elman.compiler import analyse, flops

# Cell: states, reads a step, state products, operands, depth, vector gradients, reductions, kind.
TABLE = """
Elman                   1      1      1      1      1      0      0  matmul
LSTM                    2      4      4      1      1      0      0  matmul
PeepholeLSTM            2      4      4      1      1      3      0  matmul
GRUResetBefore          1      3      3      2      2      0      0  matmul
GRUResetAfter           1      3      3      1      1      1      0  matmul
sLSTM                   4      4      4      1      1      0      0  matmul
IndRNN                  1      1      0      0      0      1      0  channel
minGRU                  1      2      0      0      0      0      0  scan
minLSTM                 1      3      0      0      0      0      0  scan
RGLRU                   1      3      0      0      0      0      0  scan
MultiplicativeLSTM      2      5      5      2      2      0      0  matmul
SRU                     1      4      0      0      0      2      0  channel
LEM                     2      4      4      2      2      0      0  matmul
coRNN                   2      1      2      2      1      0      0  matmul
UnICORNN                2      1      0      0      0      2      0  channel
AntisymmetricRNN        1      1      1      1      1      0      0  matmul
JANET                   1      2      2      1      1      0      0  matmul
MGU                     1      2      2      2      2      0      0  matmul
LMU                     2      2      5      3      2      0      0  matmul
PhasedLSTM              2      5      4      1      1      3      0  matmul
ClockworkRNN            1      2      1      1      1      0      0  matmul
RHN                     1      2      6      3      3      4      0  matmul
LayerNormLSTM           2      4      4      1      1      6      5  matmul
ZoneoutGRU              1      4      3      1      1      1      0  matmul
LSTMP                   2      4      5      2      2      0      0  matmul
FastGRNN                1      1      2      2      2      4      0  matmul
ComplexLRU              2      2      0      0      0      2      0  scan
QRNN                    1      3      0      0      0      0      0  scan
CoupledLSTM             2      3      3      1      1      0      0  matmul
IRNN                    1      1      1      1      1      0      0  matmul
Jordan                  1      1      2      2      2      1      0  matmul
"""
ROWS = [line.split() for line in TABLE.strip().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_the_table_of_the_notation(row):
    name, states, *numbers, kind = row
    step = catalogue()[name].step()
    found = analyse(step)
    assert len(step.states) == int(states)
    assert [
        found.reads_per_step,
        found.state_matmuls,
        found.operands,
        found.depth,
        found.vector_gradients,
        found.reductions,
        found.kind,
    ] == [*map(int, numbers), kind]
    assert found.affine == (kind == "scan")


def test_the_table_holds_the_whole_catalogue():
    assert {row[0] for row in ROWS} == set(catalogue())


def test_levels_follow_from_the_equations():
    step = catalogue()["LSTM"].step()
    levels = analyse(step).levels
    assert {levels[item.var] for item in step.parameters} == {"P"}
    assert levels[step.inputs[0].var] == "X"
    assert {levels[item.var] for item in step.states} == {"S"}
    products = [equation for equation in step.equations if equation.op == "matmul"]
    assert [levels[equation.var] for equation in products] == ["X", "S"] * 4


def test_a_linear_cell_with_a_matrix_is_affine_and_of_kind_matmul():
    @cell
    def Linear(x, /, h):
        return W.h @ x + R.h @ h + mean(h)

    found = analyse(Linear.step())
    assert (found.kind, found.affine, found.reductions) == ("matmul", True, 1)


@pytest.mark.parametrize(
    ("new", "affine"),
    [
        (lambda v, h: v * h + v, True),
        (lambda v, h: v - h / v, True),
        (lambda v, h: v / h, False),
        (lambda v, h: h * h + v, False),
        (lambda v, h: tanh(h) + v, False),
        (lambda v, h: h * 3 - (v - h) * v, True),
    ],
)
def test_affine_in_the_state(new, affine):
    @cell
    def Case(x, /, h):
        return new(sigmoid(W.v @ x), h)

    assert analyse(Case.step()).affine is affine


def test_a_nonlinear_output_leaves_a_scan_a_scan():
    @cell
    def Case(x, /, c):
        c = sigmoid(W.f @ x) * c + W.c @ x
        return tanh(c), c

    assert analyse(Case.step()).kind == "scan"


def test_a_bias_of_two_sums_is_not_absorbed():
    @cell
    def Case(x, /, h):
        s = R.h @ h + b.h
        return tanh(W.h @ x + s) + u.s * s

    assert analyse(Case.step()).vector_gradients == 2


def test_inputs_used_as_they_are_are_read():
    @cell
    def Case(x, mask, /, h):
        return mask * tanh(W.h @ x + U.h @ tanh(W.i @ x) + R.h @ h) + x

    found = analyse(Case.step())
    assert found.reads_per_step == 4  # W.h @ x, U.h @ ..., mask, x; not W.i @ x


def test_flops_of_an_elman_step():
    # Two products of 2 * H * I and 2 * H * H, two additions of H and a tanh of 6 H.
    step = catalogue()["Elman"].step()
    sizes = step.resolve(input_size=3, hidden_size=5)
    assert flops(step, sizes) == 2 * 5 * 3 + 2 * 5 * 5 + 2 * 5 + 6 * 5
    assert flops(step, sizes, levels="X") == 2 * 5 * 3
