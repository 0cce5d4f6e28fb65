"""The blend against a brute search, and what it must not change."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from elman.tasks.blend import Blend, fit_blend, log_loss, scores_of


def _noisy(seed: int, strength: float, classes: int = 3, rows: int = 400) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, rows)
    signal = np.eye(classes)[truth] * strength
    first = log_softmax(signal + random.normal(size=(rows, classes)), axis=1)
    second = log_softmax(signal + random.normal(size=(rows, classes)), axis=1)
    return truth, first, second


@pytest.mark.parametrize("strength", [0.5, 2.0])
def test_the_temperature_is_the_best_one(strength: float) -> None:
    truth, scores, _ = _noisy(1, strength)
    blend = fit_blend(scores, None, truth)
    best = minimize_scalar(
        lambda t: -log_softmax(scores / t, axis=1)[np.arange(len(truth)), truth].mean(),
        bounds=(0.1, 10),
        method="bounded",
    )
    assert blend.share == 0
    assert blend.temperature == pytest.approx(best.x, rel=0.05)


def test_two_equal_experts_are_better_together() -> None:
    truth, first, second = _noisy(2, 1.5)
    blend = fit_blend(first, second, truth)
    assert 0.3 < blend.share < 0.7
    mixed = blend.scores(first, second) / blend.temperature
    assert log_loss(mixed, truth, False) < log_loss(first, truth, False) - 0.02
    p = blend.probabilities(first, second)
    np.testing.assert_allclose(p.sum(axis=1), 1)


def test_a_useless_floor_gets_no_say_and_a_useless_network_none_either() -> None:
    truth, good, _ = _noisy(3, 4.0)
    noise = log_softmax(np.random.default_rng(4).normal(size=good.shape), axis=1)
    for network, floor in ((good, noise), (noise, good)):
        blend = fit_blend(network, floor, truth)
        weights = {"network": (1 - blend.share) / blend.scale, "floor": blend.share}
        useful = "network" if network is good else "floor"
        assert weights[useful] > 0.85 * sum(weights.values())
        mixed = blend.scores(network, floor) / blend.temperature
        assert log_loss(mixed, truth, False) < log_loss(good, truth, False)


def test_independent_labels_use_logits() -> None:
    random = np.random.default_rng(5)
    truth = random.integers(0, 2, (300, 4))
    scores = (truth * 2 - 1) * 1.0 + random.normal(size=truth.shape)
    blend = fit_blend(scores, None, truth, several=True)
    p = blend.probabilities(scores, None)
    loss = -(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean()
    assert loss == pytest.approx(log_loss(scores / blend.temperature, truth, True))
    assert loss <= log_loss(scores, truth, True)


def test_probabilities_survive_the_way_through_scores() -> None:
    p = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(Blend().probabilities(scores_of(p, False), None), p, atol=1e-8)
    q = np.array([[0.2, 0.9], [0.0, 1.0]])
    back = Blend(several=True).probabilities(scores_of(q, True), None)
    np.testing.assert_allclose(back, q, atol=1e-8)


def test_without_rows_nothing_is_fitted() -> None:
    empty = np.zeros((0, 3))
    assert fit_blend(empty, empty, np.zeros(0, int)) == Blend()
