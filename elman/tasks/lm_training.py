"""What training needs of the language model: streams of text, a carried state, a loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from elman.data import Tokeniser
from elman.data.corpus import EncodedCorpus, Window, Windows
from elman.errors import RunError
from elman.tasks.lm_config import LmConfig
from elman.tasks.lm_drawing import Wanted
from elman.tasks.lm_generation import generate
from elman.tasks.lm_network import LanguageNetwork, detached, flat_state, like_state
from elman.training import ParameterGroup, parameter_groups

_SAMPLE = 200  # characters that are written after a validation
_SLOW_SAMPLE = 40  # by a model without a stream, which takes some milliseconds for each
_PLACES = 16  # where a long validation part is read at once, ...
_ENOUGH = 4096  # ... tokens each


@dataclass(frozen=True)
class TokenBatch:
    """A `Window` as tensors."""

    inputs: Tensor
    targets: Tensor
    resets: Tensor | None
    first: bool
    counted: Tensor | None = None

    @classmethod
    def of(cls, window: Window) -> TokenBatch:
        """The tensors of a window."""
        resets = None if window.resets is None else torch.from_numpy(window.resets)
        return cls(
            torch.from_numpy(window.inputs),
            torch.from_numpy(window.targets),
            resets,
            window.first,
            None if window.counted is None else torch.from_numpy(window.counted),
        )


@dataclass(frozen=True)
class TokenBatches(Sequence[TokenBatch]):
    """An epoch's batches, made when they are asked for.

    Several processes take batches in turns. Each must go on with the streams of its own state, so
    that the batches of a window are the streams of each process in order.
    """

    windows: Windows
    processes: int = 1

    def __len__(self) -> int:
        return len(self.windows) * self.processes

    def __getitem__(self, index: Any) -> Any:
        number, process = divmod(index, self.processes)
        own = self.windows.streams // self.processes
        return TokenBatch.of(self.windows[number].of_streams(process * own, (process + 1) * own))


class LanguageTraining:
    """The language model as `elman.training.fit` wants it.

    Windows of the same streams follow one another, so that the state goes on from window to
    window and its gradient does not (truncated backpropagation through time).

    Args:
        network: what is trained.
        train, valid: the parts of the text.
        config: every setting.
        tokeniser: writes the samples on the way; without one there are none.
    """

    monitor = "nats"
    mode: Literal["min"] = "min"

    def __init__(
        self,
        network: LanguageNetwork,
        train: EncodedCorpus,
        valid: EncodedCorpus,
        config: LmConfig,
        tokeniser: Tokeniser | None = None,
    ) -> None:
        self.model = network
        self._tokeniser = tokeniser
        self._train, self._valid, self._config = train, valid, config
        self._state: Any = None
        self._frequencies: Tensor | None = None

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """All weights; biases and vectors without decay."""
        return parameter_groups(self.model)

    def batches(self, epoch: int) -> TokenBatches:
        """Windows that are cut elsewhere in every epoch."""
        steps = self._config.batch.tbptt
        random = np.random.default_rng((self._config.training.seed, epoch))
        streams, processes = self._streams(), self._config.training.devices
        spare = max(0, (len(self._train) - 1) // streams - 1)
        offset = int(random.integers(0, max(1, min(steps, spare))))
        return TokenBatches(Windows(self._train, streams, steps, offset), processes)

    def _streams(self) -> int:
        """As many streams as are asked for, but each at least two windows long; all processes'."""
        longest = (len(self._train) - 1) // (2 * self._config.batch.tbptt)
        processes = self._config.training.devices
        each = min(self._config.batch.streams, longest) // processes
        return processes * max(1, each)

    def loss(self, batch: TokenBatch) -> tuple[Tensor, float]:
        """Mean nats a token, with the activation penalties of Merity et al. 2017."""
        state = None if batch.first else self._state
        features, plain, state = self.model.features(batch.inputs, state, batch.resets)
        self._state = detached(state)
        loss = self.model.loss(features, batch.targets, batch.counted, self._shares(batch.targets))
        counted = batch.targets.numel() if batch.counted is None else int(batch.counted.sum())
        weight = float(max(1, counted))
        model = self._config.model
        if model.ar:
            loss = loss + model.ar * features.square().mean()
        if model.tar and len(plain) > 1:
            loss = loss + model.tar * (plain[1:] - plain[:-1]).square().mean()
        return loss, weight

    def _shares(self, like: Tensor) -> Tensor | None:
        """How frequent each token is in the text, for a sampled softmax."""
        if not self.model.samples:
            return None
        if self._frequencies is None:
            counts = self._train.counts(self.model.vocabulary)
            self._frequencies = torch.from_numpy(counts / len(self._train)).float()
        self._frequencies = self._frequencies.to(like.device)
        return self._frequencies

    def validate(self) -> dict[str, float]:
        """Nats a token on the validation part, the state carried.

        A long part is read in several places at once: it is as much work, in larger products, and
        what the few beginnings without a context cost is the same at every validation.
        """
        streams = max(1, min(_PLACES, len(self._valid) // _ENOUGH))
        losses = token_losses(self.model, self._valid, streams=streams)
        return {"nats": float(predicted(losses, self._valid).mean())}

    def sample(self) -> str | None:
        """A short text that the model writes as it is, always from the same seed."""
        if self._tokeniser is None:
            return None
        length = _SAMPLE if self._config.model.stack == "plain" else _SLOW_SAMPLE
        text = ""
        for token in generate(self.model, self._tokeniser, (), Wanted(length, seed=1)):
            text += token.text
            if len(text) >= length:
                break
        return text

    def carried_state(self) -> dict[str, Tensor]:
        """The state between two windows, for checkpoints."""
        return {str(k): tensor for k, tensor in enumerate(flat_state(self._state))}

    def load_carried_state(self, tensors: dict[str, Tensor]) -> None:
        """Goes on from a checkpoint.

        Raises:
            RunError: its states are of another number of streams.
        """
        if not tensors:
            return
        rows, wanted = next(iter(tensors.values())).shape[-2], self._streams()
        wanted //= self._config.training.devices
        if rows != wanted:
            raise RunError(
                f"the checkpoint holds the states of {rows} streams a process, wanted {wanted}.",
                hint="It is of another version of elman or of other data; train anew.",
            )
        with torch.no_grad():
            ids = torch.zeros(1, next(iter(tensors.values())).shape[-2], dtype=torch.long)
            device = next(self.model.parameters()).device
            form = self.model.features(ids.to(device))[2]
        values = [tensors[str(k)].to(device) for k in range(len(tensors))]
        self._state = like_state(form, values)


def predicted(losses: np.ndarray, corpus: EncodedCorpus) -> np.ndarray:
    """The losses of what is to be predicted: in a dialogue the replies."""
    return losses if corpus.counted is None else losses[corpus.counted[1:][: len(losses)]]


@torch.no_grad()
def token_losses(
    network: LanguageNetwork, corpus: EncodedCorpus, *, window: int = 512, streams: int = 1
) -> np.ndarray:
    """Nats of each token but the first, `(N - 1,)`, the state carried through.

    With S streams the text is cut into S equal parts, each beginning without a context, and
    `(N - 1) // S * S` tokens are measured.
    """
    training = network.training
    network.eval()
    device = next(network.parameters()).device
    windows = Windows(corpus, streams, window)
    state: Any = None
    found: list[np.ndarray] = []
    for k in range(len(windows)):
        batch = TokenBatch.of(windows[k])
        resets = None if batch.resets is None else batch.resets.to(device)
        features, _, state = network.features(batch.inputs.to(device), state, resets)
        found.append(network.losses(features, batch.targets.to(device)).cpu().numpy())
    network.train(training)
    return np.concatenate(found).T.reshape(-1)
