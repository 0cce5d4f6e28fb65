"""Passes that layers use, against the same thing done by hand on values."""

import evaluator as oracle
import numpy as np
import pytest

from elman import cells
from elman.cells import catalogue, cell
from elman.cells.notation import R, U, W, const, tanh
from elman.compiler import analyse, transform, verify
from elman.errors import CellError


def values(step, seed=0):
    sizes = {"input_size": 6} if step.name.startswith("RGLRU") else {}
    hidden = 8 if step.name.startswith("Clockwork") else 6
    return oracle.random_values(step, seed, hidden_size=hidden, **sizes)


@pytest.mark.parametrize("name", list(catalogue()))
def test_recurrent_dropout_masks_what_the_matrices_see(name):
    step = catalogue()[name].step()
    dropped = verify(transform.with_recurrent_dropout(step))
    assert dropped.name == f"{name}.recurrent_dropout"
    old = {item.name for item in step.inputs}
    masks = {item.name for item in dropped.inputs} - old
    multiplied = {e.args[1] for e in step.equations if e.op == "matmul"}
    assert masks == {f"drop.{s.name}" for s in step.states if s.var in multiplied}
    parameters, inputs, states = values(step)
    ones = {
        item.name: np.ones_like(states[item.name.removeprefix("drop.")])
        for item in dropped.inputs
        if item.name in masks
    }
    got, _ = oracle.evaluate(dropped, parameters, inputs | ones, states)
    want, _ = oracle.evaluate(step, parameters, inputs, states)
    np.testing.assert_array_equal(got, want)


def test_recurrent_dropout_of_the_lstm_drops_only_the_operand():
    step = cells.LSTM.step()
    dropped = transform.with_recurrent_dropout(step)
    parameters, inputs, states = values(step)
    mask = (np.random.default_rng(1).random(states["h"].shape) < 0.5) * 2.0
    got, _ = oracle.evaluate(dropped, parameters, inputs | {"drop.h": mask}, states)
    masked = states | {"h": states["h"] * mask}
    want, _ = oracle.evaluate(step, parameters, inputs, masked)
    np.testing.assert_allclose(got, want)
    assert analyse(dropped).operands == 1


@pytest.mark.parametrize("name", [name for name in catalogue() if name != "sLSTM"])
def test_zoneout_mixes_old_and_new(name):
    step = catalogue()[name].step()
    zoned = verify(transform.with_zoneout(step))
    parameters, inputs, states = values(step)
    rng = np.random.default_rng(2)
    masks = {f"zone.{key}": rng.random(value.shape) for key, value in states.items()}
    output, new = oracle.evaluate(zoned, parameters, inputs | masks, states)
    plain_output, plain = oracle.evaluate(step, parameters, inputs, states)
    for state, got, want in zip(step.states, new, plain, strict=True):
        zone, old = masks[f"zone.{state.name}"], states[state.name]
        np.testing.assert_allclose(got, zone * old + (1 - zone) * want, rtol=1e-12)
    if step.output in step.new_states:
        np.testing.assert_array_equal(output, new[step.new_states.index(step.output)])
    else:
        np.testing.assert_allclose(output, plain_output)


def test_zoneout_refuses_an_infinite_start():
    with pytest.raises(CellError, match=r"sLSTM cannot have zoneout: its state m starts from -inf"):
        transform.with_zoneout(cells.sLSTM.step())


def test_layer_norm_normalises_each_product():
    step = cells.Elman.step()
    normal = transform.with_layer_norm(step)
    assert [item.name for item in normal.parameters if item.name.startswith("g.")] == [
        "g.W.h",
        "g.R.h",
    ]
    parameters, inputs, states = values(normal)

    def ln(v):
        return (v - v.mean(-1, keepdims=True)) / np.sqrt(v.var(-1, keepdims=True) + 1e-5)

    got, _ = oracle.evaluate(normal, parameters, inputs, states)
    want = np.tanh(
        parameters["g.W.h"] * ln(inputs["x"] @ parameters["W.h"].T)
        + parameters["g.R.h"] * ln(states["h"] @ parameters["R.h"].T)
        + parameters["b.h"]
    )
    np.testing.assert_allclose(got, want, rtol=1e-12)
    assert analyse(normal).reductions == 1


def test_layer_norm_leaves_constants_other_namespaces_and_single_rows():
    @cell
    def Case(x, /, h, m: 4):
        s = W[1].s @ x + R[1].s @ h
        return tanh(U.h @ m + (R.h - R.h.T) @ h), const(np.eye(4)) @ m + s

    names = [item.name for item in transform.with_layer_norm(Case.step()).parameters]
    assert not [name for name in names if name.startswith("g.")]


@pytest.mark.parametrize("name", list(catalogue()))
def test_passes_compose(name):
    step = catalogue()[name].step()
    both = transform.with_layer_norm(transform.with_recurrent_dropout(step))
    other = transform.with_recurrent_dropout(transform.with_layer_norm(step))
    assert verify(both)
    assert len(both.equations) == len(other.equations)
    assert {item.name for item in both.inputs} == {item.name for item in other.inputs}


def test_a_pass_that_changes_nothing_gives_the_same_equations():
    step = cells.minGRU.step()
    assert transform.with_recurrent_dropout(step).equations == step.equations
