"""The language model's softmax: full, sampled, adaptive, and in 16 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lm_models import TEXT, network

from elman import LanguageModel, load
from elman.cells import find
from elman.errors import ConfigError
from elman.tasks.lm_config import LmConfig
from elman.tasks.lm_network import LanguageNetwork


def adaptive(vocabulary: int = 2500, **options: Any) -> LanguageNetwork:
    config = LmConfig(model={"hidden": 8, "softmax": "adaptive", **options}).model
    return LanguageNetwork(config, find("lstm"), vocabulary, tied=True)


def test_an_adaptive_softmax_is_a_distribution() -> None:
    model = adaptive()
    assert model.adaptive is not None and not model.tied
    features, targets = torch.randn(7, 2, 8), torch.randint(2500, (7, 2))
    logs = model.logits(features)
    torch.testing.assert_close(logs.logsumexp(2), torch.zeros(7, 2))
    found = -logs.gather(2, targets[..., None])[..., 0]
    torch.testing.assert_close(model.losses(features, targets), found)
    torch.testing.assert_close(model.loss(features, targets), found.mean())
    with pytest.raises(ConfigError, match="got 9 tokens, wanted more than 2001"):
        adaptive(9)
    with pytest.raises(ConfigError, match="matrices of its own"):
        adaptive(tied=True)


def test_a_run_says_itself_which_softmax_it_has(tmp_path: Path) -> None:
    """Settings that leave it open mean what they meant when the run was trained."""
    (tmp_path / "text.txt").write_text(TEXT)
    task = LanguageModel(level="char", epochs=1, config={"model.hidden": 8, "batch.streams": 2})
    task.fit(tmp_path / "text.txt")
    assert task._fitted is not None
    task._fitted.network = network = adaptive(embedding=16)
    task.save(tmp_path / "run")
    again = load(tmp_path / "run").network
    assert again.adaptive is not None and again.embedding.weight.shape == (2500, 16)
    ids = torch.randint(2500, (5, 2))
    torch.testing.assert_close(again(ids)[0], network.eval()(ids)[0])


@pytest.mark.parametrize("options", [{}, {"stack": "deep", "cell": "minGRU"}, {"tied": True}])
def test_16_bits_change_the_loss_little(options: dict[str, Any]) -> None:
    model, ids = network(**options).eval(), torch.randint(9, (30, 40))

    def found() -> tuple[torch.Tensor, ...]:
        features, _, _ = model.features(ids[:-1])
        loss = model.loss(features, ids[1:])
        return loss.detach(), *torch.autograd.grad(loss, list(model.parameters()))

    whole = found()
    with torch.autocast("cpu", torch.bfloat16):
        low = found()
        assert model.losses(model.features(ids[:-1])[0], ids[1:]).dtype == torch.float32
    torch.testing.assert_close(low[0], whole[0], rtol=2e-3, atol=0)
    for one, other in zip(low[1:], whole[1:], strict=True):
        assert float((one - other).norm()) <= 0.05 * float(other.norm()) + 1e-6


def test_an_adaptive_softmax_stays_whole_under_autocast() -> None:
    model, targets = adaptive(), torch.randint(2500, (7, 2))
    features = torch.randn(7, 2, 8)
    wanted = model.losses(features, targets)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(model.losses(features, targets), wanted)
        assert model.logits(features).dtype == torch.float32
        assert model.loss(features.bfloat16(), targets).dtype == torch.float32


def test_a_sampled_softmax_learns_nearly_the_same(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    config = {"model.hidden": 32, "batch.streams": 4, "batch.tbptt": 32, "model.samples": 2,
              "training.ema_decay": 0.9}  # fmt: skip
    found = []
    for softmax in ("full", "sampled"):
        task = LanguageModel(level="char", epochs=6, config={**config, "model.softmax": softmax})
        result = task.fit(tmp_path / "text.txt", out=tmp_path / softmax)
        assert task.network.samples == (softmax == "sampled")
        found.append(result.evaluation.metrics["nats"])
    assert found[0] < 1.7 and found[1] == pytest.approx(found[0], abs=0.1)


@pytest.mark.parametrize("options", [{}, {"model.stack": "deep", "model.cell": "minGRU"}])
def test_training_in_16_bits(options: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    config = {"model.hidden": 32, "batch.streams": 4, "batch.tbptt": 32, **options}
    config["training.ema_decay"] = 0.9
    found = []
    for precision in ("32", "bf16"):
        task = LanguageModel(
            level="char", epochs=4, config={**config, "training.precision": precision}
        )
        result = task.fit(tmp_path / "text.txt", out=tmp_path / precision)
        found.append(result.evaluation.metrics["nats"])
    assert found[0] < 2 and found[1] == pytest.approx(found[0], abs=0.05)
    assert len(task.generate("the", length=20)) == 20
