"""A classifier on top of a language model: what it learnt from running text is carried over.

As in ULMFiT (Howard and Ruder 2018): the pooled text is the last, the largest and the mean output;
the layers are set free one after the other, the last one first; each layer below learns slower.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from elman.cells import Cell, find
from elman.nn.dropout import WordDropout
from elman.nn.pooling import Pooling
from elman.tasks.classify_config import ModelConfig
from elman.tasks.lm import LanguageModel
from elman.tasks.lm_config import LmModelConfig
from elman.tasks.lm_network import LanguageNetwork

POOLING = "last+max+mean"


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
        self.attention, self.drop_output = language.attention, language.drop_output
        deep = language.config.stack == "deep"
        width = language.config.hidden if deep else self.recurrent.output_size
        self.pooling = Pooling(POOLING, width, bidirectional=False)
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
        pooled = self.pooling(self.drop_output(y), lengths + 1)
        return self.linear(self.dropout(pooled))


def depth_of(name: str, layers: int) -> int:
    """How far below the classes a parameter stands: 0 the head, `layers` + 1 the vectors."""
    if fnmatchcase(name, "*embedding.*"):
        return layers + 1
    if ".attention." in f".{name}":
        return 1
    if ".recurrent." not in f".{name}":
        return 0
    for layer in range(layers):
        if fnmatchcase(name, f"*recurrent.*.{layer}.*"):
            return layers - layer
    return 1


def rates(network: nn.Module, layers: int, slower: float) -> dict[str, float]:
    """The learning rate scale of each parameter: `slower` times smaller a layer further down."""
    return {name: slower ** -depth_of(name, layers) for name, _ in network.named_parameters()}


def unfreeze(network: nn.Module, layers: int, epoch: int) -> None:
    """Lets the parameters learn that stand less than `epoch` layers below the classes."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(depth_of(name, layers) < epoch)


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
