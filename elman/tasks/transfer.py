"""A classifier on top of a language model: what it learnt from running text is carried over.

As in ULMFiT (Howard and Ruder 2018): the pooled text is the last, the largest and the mean output;
the layers are set free one after the other, the last one first; each layer below learns slower.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

from elman.cells import Cell, find
from elman.errors import ConfigError
from elman.nn.dropout import WordDropout
from elman.nn.pooling import Pooling
from elman.tasks.classify_config import ModelConfig
from elman.tasks.lm import LanguageModel
from elman.tasks.lm_config import LmModelConfig
from elman.tasks.lm_network import LanguageNetwork

POOLING = "last+max+mean"
LANGUAGE = (
    "cell", "hidden", "depth", "stack", "hyperparameters", "init", "embedding", "vectors",
    "members", "subwords", "shapes", "layer_norm", "recurrent_dropout", "weight_drop", "zoneout",
)  # fmt: skip
"""What a language model brings along, so that the classifier's settings cannot say it."""
FREE_BY = 0.3
"""The share of a run's steps after which every layer learns."""
_LONGEST = 100  # steps between two layers that are set free, at most
_SPEED = 20_000  # tokens a second that two cores train
_PLAIN = ModelConfig()


class TransferNetwork(nn.Module):
    """Texts as token numbers in, one score a class out, through a language model's layers.

    Args:
        config: dropouts, and how fast the layers below learn.
        language: the network that was trained on running text; its softmax is left behind.
        outputs: the number of scores.
        boundary: the number that a text begins with.
    """

    def __init__(
        self, config: ModelConfig, language: LanguageNetwork, outputs: int, boundary: int = 0
    ) -> None:
        super().__init__()
        self.boundary = boundary
        self.kind = language.config
        self.word_dropout = WordDropout(config.word_dropout)
        self.embedding, self.recurrent = language.embedding, language.recurrent
        self.drop_types, self.drop_input = language.drop_types, language.drop_input
        self.attention = language.attention
        deep = language.config.stack == "deep"
        width = language.config.hidden if deep else self.recurrent.output_size
        kinds = POOLING if config.pooling == _PLAIN.pooling else config.pooling
        self.pooling = Pooling(kinds, width, bidirectional=False)
        self.norm = Standardised(self.pooling.output_size)
        self.dropout = nn.Dropout(config.dropout)
        self.linear = nn.Linear(self.pooling.output_size, outputs)

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """`(time, batch)` token numbers and `(batch,)` lengths -> `(batch, outputs)`."""
        edge = values.new_full((1, values.shape[1]), self.boundary)
        ids = torch.cat([edge, self.word_dropout(values)])
        vectors = self.drop_input(self.drop_types(self.embedding, ids))
        y, _ = self.recurrent(vectors, lengths=lengths + 1)
        if self.attention is not None:  # it looks back only: no padding is seen by what is pooled
            y, _ = self.attention(y)
        # Scores of 16 bits would round probabilities: what the layers give is pooled in full.
        with torch.autocast(y.device.type, enabled=False):
            pooled = self.pooling(y.to(self.linear.weight.dtype), lengths + 1)
            return self.linear(self.dropout(self.norm(pooled)))


class Standardised(nn.Module):
    """Features less their mean over texts, by their deviation: `(batch, size)` -> the same.

    What a language model gives is much the same for every text, and differs by little: without
    this a classifier needs thousands of steps to find the difference (Howard and Ruder 2018 put a
    batch norm there). Dropout stands behind it: on what texts share it would be noise that hides
    what they do not. Both numbers are running ones, in training too, so that batches may be
    small. Each is that of all rows seen at first, and of about the last `memory` later on.
    """

    def __init__(self, size: int, memory: int = 2000) -> None:
        super().__init__()
        self.memory = memory
        self.mean: Tensor
        self.variance: Tensor
        self.seen: Tensor
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("variance", torch.ones(size))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Takes note of the rows in training, and standardises them."""
        if self.training and len(x):
            self._note(x.detach())
        return (x - self.mean) * (self.variance + 1e-8).rsqrt()

    @torch.no_grad()
    def _note(self, x: Tensor) -> None:
        """Joins the mean and the variance of the rows with those so far (Chan et al. 1979)."""
        before = self.seen.clamp(max=self.memory)
        share = len(x) / (before + len(x))
        away = x.mean(0) - self.mean
        spread = x.var(0, correction=0) - self.variance + (1 - share) * away.square()
        self.mean += share * away
        self.variance += share * spread
        self.seen += len(x)

    def extra_repr(self) -> str:
        """The size."""
        return f"{len(self.mean)}"


def check_encoder(config: ModelConfig) -> None:
    """Refuses what an encoder decides, where the settings want it otherwise.

    Raises:
        ConfigError: they do.
    """
    if config.encoder is None or config.pretrain is not None:
        return
    for name in LANGUAGE:
        value = getattr(config, name)
        one = name == "members" and value == 1
        if value and value != getattr(_PLAIN, name) and not one:
            raise ConfigError(
                f"got {name} {value!r} beside an encoder, which has its own.",
                where=f"model.{name}",
                hint="Leave it out, or train a language model with it, which --encoder names.",
            )


def beside_encoder(config: ModelConfig) -> ModelConfig:
    """The settings without those that an encoder decides."""
    return config.model_copy(update={name: getattr(_PLAIN, name) for name in LANGUAGE})


def depth_of(name: str, layers: int) -> int:
    """How far below the classes a parameter stands: 0 the head, `layers` + 1 the vectors."""
    if "embedding." in name:
        return layers + 1
    if ".attention." in f".{name}":
        return 1
    if ".recurrent." not in f".{name}":
        return 0
    if ".recurrent.enter." in f".{name}":
        return layers
    # The first match: a deep stack's blocks hold a recurrence each, which has layers again.
    found = re.search(r"recurrent\.(?:below\.)?(?:layers|blocks)\.(\d+)\.", name)
    return 1 if found is None else layers - int(found[1])


def rates(network: nn.Module, layers: int, slower: float) -> dict[str, float]:
    """The learning rate scale of each parameter: `slower` times smaller a layer further down."""
    return {name: slower ** -depth_of(name, layers) for name, _ in network.named_parameters()}


def unfreeze(network: nn.Module, layers: int, free: int) -> None:
    """Lets the parameters learn that stand less than `free` layers below the classes."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(depth_of(name, layers) < free)


def steps_a_layer(steps: int, layers: int, minutes: float | None, tokens: float) -> int:
    """Steps after which one more layer is set free, so that all are by `FREE_BY` of the run.

    Howard and Ruder (2018) take a pass for each. A run of few minutes has no such time; how many
    steps fit into it is guessed from the settings, since what the clock decides would differ
    when a run is resumed.

    Args:
        steps: of the whole run.
        layers: of the encoder; its vectors are one more.
        minutes: of the run, if they are limited.
        tokens: of a step.
    """
    if minutes is not None:
        steps = min(steps, round(60 * minutes * _SPEED / max(1.0, tokens)))
    return min(_LONGEST, max(1, int(FREE_BY * steps / (layers + 1))))


def language_network(folder: str) -> LanguageNetwork:
    """The network of a language model's run.

    Raises:
        ConfigError: the run is of another task. RunError: there is no such run.
    """
    return LanguageModel.load(folder).network


def described(network: LanguageNetwork) -> dict[str, Any]:
    """What `rebuilt` needs."""
    config = network.config.model_dump(mode="json")
    return {"model": config, "vocabulary": network.vocabulary, "tied": network.tied}


def rebuilt(facts: dict[str, Any], cell: Cell | None = None) -> LanguageNetwork:
    """A network of the same form, its weights to be loaded."""
    config = LmModelConfig.model_validate(facts["model"])
    return LanguageNetwork(
        config, cell or find(config.cell), facts["vocabulary"], tied=facts["tied"]
    )
