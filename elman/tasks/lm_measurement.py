"""What a language model is measured by: nats, perplexity, bits; adapting itself or not."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from elman.data.corpus import EncodedCorpus, Windows
from elman.tasks.lm_network import LanguageNetwork, detached
from elman.tasks.lm_training import TokenBatch, predicted, token_losses
from elman.tasks.ngrams import NGrams

Losses = NDArray[np.floating[Any]]
FRESH = 256
"""Tokens of the windows that begin without a context."""
_MOST_WINDOWS = 4096
_ROWS = 256  # windows that are read side by side
CARRIED = "state carried through the whole text"
DYNAMIC = "state carried and weights adapted on the way (dynamic evaluation)"


@dataclass(frozen=True)
class LmEvaluation:
    """A language model on a text.

    Attributes:
        metrics: nats (a token), perplexity, bits_per_token, nats_per_character,
            bits_per_character, bits_per_byte.
        facts: tokens, characters, bytes, unknown, documents, context, split, and as `fresh` the
            nats a token in windows that each begin without a context.
        floor: name and metrics of the n-gram model on the same text.
        by_position: mean nats of the tokens at positions 1, 2-3, 4-7, ... after a fresh start.
    """

    metrics: Mapping[str, float]
    facts: Mapping[str, Any]
    floor: Mapping[str, Any] | None = None
    by_position: Mapping[str, float] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """Model and floor in words."""
        ours = self.metrics["nats_per_character"]
        if self.floor is None:
            return f"{ours:.4f} nats a character."
        theirs = self.floor["metrics"]["nats_per_character"]
        word = "beats" if ours < theirs else "does not beat"
        return (
            f"The model {word} its floor ({self.floor['name']}): {ours:.4f} nats a character "
            f"against {theirs:.4f}."
        )


def metrics_of(losses: Losses, corpus: EncodedCorpus) -> dict[str, float]:
    """The measures of the nats of each token."""
    total, tokens = float(losses.sum(dtype=np.float64)), max(1, len(losses))
    nats = total / tokens
    characters, size = max(1, corpus.characters), max(1, corpus.bytes)
    return {
        "nats": nats,
        "perplexity": math.exp(min(nats, 700.0)),
        "bits_per_token": nats / math.log(2),
        "nats_per_character": total / characters,
        "bits_per_character": total / characters / math.log(2),
        "bits_per_byte": total / size / math.log(2),
    }


def measured(
    network: LanguageNetwork,
    corpus: EncodedCorpus,
    floor: tuple[str, NGrams] | None,
    *,
    dynamic: bool = False,
    split: str = "test",
) -> LmEvaluation:
    """The model on a text, beside its floor."""
    losses = dynamic_losses(network, corpus) if dynamic else token_losses(network, corpus)
    losses = predicted(losses, corpus)
    facts = {
        "tokens": corpus.predicted,
        "characters": corpus.characters,
        "bytes": corpus.bytes,
        "unknown": corpus.unknown,
        "documents": corpus.documents,
        "rows": corpus.documents,
        "context": DYNAMIC if dynamic else CARRIED,
        "split": split,
    }
    beside = None
    if floor is not None:
        name, model = floor
        found = predicted(-np.log(model.probabilities(corpus.ids))[1:], corpus)
        beside = {"name": name, "metrics": metrics_of(found, corpus)}
    positions: dict[str, float] = {}
    if not dynamic:
        fresh, marks = fresh_losses(network, corpus)
        positions = position_losses(fresh, marks)
        if marks.any():
            facts["fresh"] = {"window": FRESH, "nats": float(fresh[marks].mean())}
    return LmEvaluation(metrics_of(losses, corpus), facts, beside, positions)


@torch.no_grad()
def fresh_losses(
    network: LanguageNetwork, corpus: EncodedCorpus, length: int = FRESH
) -> tuple[Losses, NDArray[np.bool_]]:
    """Nats in windows that each begin without a context, `(windows, length)`, and which count.

    The windows lie side by side; of a text that has more than 4096 they are spread evenly. In a
    dialogue the replies count.
    """
    count = min((len(corpus) - 1) // length, _MOST_WINDOWS)
    if count == 0:
        return np.zeros((0, length)), np.zeros((0, length), bool)
    training = network.training
    network.eval()
    device = next(network.parameters()).device
    whole = Windows(corpus, count, length)[0]
    found: list[Losses] = []
    for begin in range(0, count, _ROWS):
        batch = TokenBatch.of(whole.of_streams(begin, min(begin + _ROWS, count)))
        resets = None if batch.resets is None else batch.resets.to(device)
        features, _, _ = network.features(batch.inputs.to(device), None, resets)
        found.append(network.losses(features, batch.targets.to(device)).cpu().numpy())
    network.train(training)
    losses = np.concatenate(found, axis=1).T
    marks = np.ones(losses.shape, bool) if whole.counted is None else whole.counted.T
    return losses, marks


def position_losses(losses: Losses, marks: NDArray[np.bool_]) -> dict[str, float]:
    """Mean nats at each distance from a fresh start: how much of the context is used.

    Args:
        losses, marks: of `fresh_losses`.
    """
    found: dict[str, float] = {}
    begin, length = 0, losses.shape[1]
    while begin < length:
        end = min(2 * begin + 1, length)
        name = str(begin + 1) if end == begin + 1 else f"{begin + 1}-{end}"
        if marks[:, begin:end].any():
            found[name] = float(losses[:, begin:end][marks[:, begin:end]].mean())
        begin = end
    return found


def dynamic_losses(
    network: LanguageNetwork,
    corpus: EncodedCorpus,
    *,
    window: int = 32,
    lr: float = 1e-4,
    decay: float = 1e-3,
) -> Losses:
    """Nats of each token of a model that learns from the text after predicting it.

    After each window one step of gradient descent, scaled by the root of the running mean square
    of the gradients, and a pull back to the trained weights (Krause et al. 2018). The network
    itself stays as it is.
    """
    adapted = copy.deepcopy(network).eval()
    parameters = [p for p in adapted.parameters() if p.requires_grad]
    start = [p.detach().clone() for p in parameters]
    squares = [torch.zeros_like(p) for p in parameters]
    windows = Windows(corpus, 1, window)
    state: Any = None
    found: list[Losses] = []
    device = parameters[0].device
    for number in range(len(windows)):
        batch = TokenBatch.of(windows[number])
        resets = None if batch.resets is None else batch.resets.to(device)
        with torch.enable_grad():
            features, _, state = adapted.features(batch.inputs.to(device), state, resets)
            losses = adapted.losses(features, batch.targets.to(device))
            gradients = torch.autograd.grad(losses.mean(), parameters, allow_unused=True)
        found.append(losses.detach().cpu().numpy())
        state = detached(state)
        with torch.no_grad():
            for p, origin, square, gradient in zip(
                parameters, start, squares, gradients, strict=True
            ):
                if gradient is None:
                    continue
                square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
                scale = (square / (1 - 0.999 ** (number + 1))).sqrt_().add_(1e-8)
                p.addcdiv_(gradient, scale, value=-lr)
                p.add_(origin - p, alpha=decay)
    return np.concatenate(found).T.reshape(-1)
