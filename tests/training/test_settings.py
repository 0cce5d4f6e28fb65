"""Settings, optimisers, schedules, averages: each against its formula."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn
from training_tiny import Tiny, same, weights

from elman.errors import ConfigError
from elman.training import TrainingConfig, parameter_groups
from elman.training.averaging import Averager
from elman.training.config import OPTIMISER_NAMES
from elman.training.optimisers import _TABLE, build_optimiser, set_rate
from elman.training.process import check_device
from elman.training.schedules import Plateau, cosine, factor, one_cycle


def test_importing_the_room_and_its_settings_brings_no_torch() -> None:
    code = (
        "import sys, elman.training; from elman.training import TrainingConfig; "
        "assert 'torch' not in sys.modules and 'lightning_fabric' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_fit_brings_no_fabric() -> None:
    code = (
        "import sys; from elman.training import fit; assert 'lightning_fabric' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"optimiser": "adamm"}, 'Did you mean "adam"'),
        ({"device": "cpuu"}, 'Did you mean "cpu"'),
        ({"epochs": 0}, "greater than or equal to 1"),
        ({"minutes": 0}, "greater than 0"),
        ({"lr": -1}, "greater than 0"),
        ({"lr": float("nan")}, "greater than 0"),
        ({"betas": (0.9, 1.0)}, "[0, 1)"),
        ({"schedule": "linear"}, "one-cycle"),
        ({"learning_rate": 1}, "Extra inputs"),
        ({"devices": 2, "device": "cuda:1"}, "one device"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TrainingConfig.model_validate(values)
    assert words in str(caught.value)


def test_an_absent_device_is_named() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ConfigError, match="0 CUDA devices"):
        check_device(TrainingConfig(device="cuda:3"))


def test_every_name_has_an_optimiser_that_steps() -> None:
    assert set(_TABLE) == set(OPTIMISER_NAMES)
    for name in OPTIMISER_NAMES:
        tiny = Tiny()
        before = weights(tiny)
        optimiser = build_optimiser(tiny.parameter_groups(), TrainingConfig(optimiser=name))
        loss, _ = tiny.loss(tiny.batches(1)[0])
        loss.backward()
        optimiser.step()
        assert not same(before, weights(tiny)), name


def test_groups_scale_rate_and_decay() -> None:
    model = nn.Sequential(nn.Embedding(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    groups = parameter_groups(model, lr_scales={"0.*": 0.1})
    found = {
        id(p): (g["lr_scale"], g["weight_decay_scale"])  # type: ignore[typeddict-item]
        for g in groups
        for p in g["params"]
    }
    expected = {"0.weight": (0.1, 0.0), "2.weight": (1.0, 1.0)}
    for name, parameter in model.named_parameters():
        assert found[id(parameter)] == expected.get(name, (1.0, 0.0)), name
    optimiser = build_optimiser(groups, TrainingConfig(lr=1.0, weight_decay=0.5))
    set_rate(optimiser, 0.5)
    rates = sorted((g["lr"], g["weight_decay"]) for g in optimiser.param_groups)
    assert rates == [(0.05, 0.0), (0.5, 0.0), (0.5, 0.5)]


def test_a_model_without_trainable_parameters_is_refused() -> None:
    model = nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(ConfigError, match="no parameter to train"):
        build_optimiser([{"params": list(model.parameters())}], TrainingConfig())


def test_schedules_at_their_corners() -> None:
    assert one_cycle(0.0, 0.1, 0.01) == pytest.approx(0.04)
    assert one_cycle(0.05, 0.1, 0.01) == pytest.approx(0.52)
    assert one_cycle(0.1, 0.1, 0.01) == 1.0
    assert one_cycle(0.55, 0.1, 0.01) == pytest.approx(0.505)
    assert one_cycle(1.0, 0.1, 0.01) == pytest.approx(0.01)
    assert cosine(0.0, 0.2, 0.1) == pytest.approx(0.01)
    assert cosine(0.1, 0.2, 0.1) == pytest.approx(0.505)
    assert cosine(0.2, 0.2, 0.1) == 1.0
    assert cosine(1.0, 0.2, 0.1) == pytest.approx(0.1)
    assert one_cycle(0.0, 0.0, 0.0) == cosine(0.0, 0.0, 0.0) == 1.0


@given(st.floats(0, 1), st.floats(0, 0.9), st.floats(0, 1))
def test_factors_stay_between_start_and_one(p: float, warmup: float, final: float) -> None:
    for schedule in (one_cycle, cosine):
        assert min(0.01, final) - 1e-12 <= schedule(p, warmup, final) <= 1.0 + 1e-12


def test_a_plateau_halves_after_its_patience() -> None:
    config = TrainingConfig(schedule="plateau", plateau_patience=1, final_lr=0.3)
    plateau = Plateau()
    seen = []
    for improved in (True, False, False, False, True, False, False):
        plateau.validated(improved, config)
        seen.append(factor(config, 0.5, plateau))
    assert seen == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.3]


def _walk(config: TrainingConfig, steps: int) -> tuple[Averager, list[torch.Tensor]]:
    """An averager over a model whose one weight takes known values."""
    model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    path = [torch.tensor([[float(math.sin(t))]], dtype=torch.float64) for t in range(steps + 1)]
    model.weight.data.copy_(path[0])
    averager = Averager(model, config)
    averager.start()
    for t in range(1, steps + 1):
        model.weight.data.copy_(path[t])
        averager.update(t / steps)
    return averager, path


@given(st.integers(1, 40), st.floats(0, 0.999))
def test_the_moving_average_against_its_closed_form(steps: int, decay: float) -> None:
    averager, path = _walk(TrainingConfig(ema_decay=decay), steps)
    decays = [min(decay, (1 + t) / (10 + t)) for t in range(steps)]
    shares = [(1 - decays[k]) * math.prod(decays[k + 1 :]) for k in range(steps)]  # of path[k + 1]
    expected = math.prod(decays) * path[0] + sum(
        s * w for s, w in zip(shares, path[1:], strict=True)
    )
    torch.testing.assert_close(averager.values["weight"], expected)
    assert math.prod(decays) + sum(shares) == pytest.approx(1.0)


def test_the_plain_average_is_the_mean_of_the_last_part() -> None:
    averager, path = _walk(TrainingConfig(average="swa", swa_start=0.5), 10)
    torch.testing.assert_close(averager.values["weight"], torch.stack(path[5:]).mean(0))


def test_weights_come_back_to_the_bit_after_the_average_was_in_place() -> None:
    tiny = Tiny()
    averager = Averager(tiny.net, TrainingConfig())
    averager.start()
    averager.update(0.1)
    with torch.no_grad():
        tiny.net.first.weight.add_(1.0)
    before = weights(tiny)
    with averager.in_place():
        assert not same(before, weights(tiny))
    assert same(before, weights(tiny))
