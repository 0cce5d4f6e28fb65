"""The text classifier's network: words -> recurrent layers -> pooling -> classes.

    tokens -> embedding -> [chop] -> recurrent stack -> [join] -> pooling -> dropout -> linear

One output answers a yes/no question; otherwise there is one output a class. On small sets several
such networks, which differ by their random numbers alone, are trained side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from elman.cells import Cell
from elman.data import SHAPES
from elman.nn import Deep, Pooling, Recurrent
from elman.nn.dropout import SharedDropout, WordDropout
from elman.nn.segments import chop, join
from elman.nn.streams import check_one_input
from elman.nn.subwords import SubwordEmbedding
from elman.tasks.classify_config import ModelConfig
from elman.tasks.lm_network import LanguageNetwork
from elman.tasks.transfer import TransferNetwork, described


class TextNetwork(nn.Module):
    """Texts as token numbers in, one score a class out.

    Args:
        config: the sizes and strengths.
        cell: the recurrence.
        vocabulary: the number of tokens; 0 is padding, 1 an unknown word.
        outputs: the number of scores: one a class, one alone for a yes/no question.
        dimension: the size of a word's vector; the settings' unless vectors were read.
        pieces: word -> number; needed for vectors of letter n-grams (`config.subwords`).
    """

    def __init__(
        self,
        config: ModelConfig,
        cell: Cell,
        vocabulary: int,
        outputs: int,
        *,
        dimension: int | None = None,
        pieces: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        size = dimension or config.embedding
        self.segment = config.segment
        self.word_dropout = WordDropout(config.word_dropout)
        self.embedding = (
            SubwordEmbedding(pieces, vocabulary, size, config.subwords)
            if pieces and config.subwords
            else nn.Embedding(vocabulary, size, padding_idx=0)
        )
        self.shapes = nn.Embedding(len(SHAPES), size, padding_idx=0) if config.shapes else None
        for table in (self.embedding, self.shapes):
            for vectors in table.parameters() if table is not None else ():
                nn.init.normal_(vectors, std=0.1)
            with torch.no_grad():
                if table is not None:
                    table.weight[0].zero_()
        self.embedding_dropout = SharedDropout(config.embedding_dropout)
        self.recurrent = recurrent_stack(config, cell, size)
        both = config.bidirectional and config.stack != "deep"
        self.pooling = Pooling(config.pooling, self.recurrent.output_size, bidirectional=both)
        self.dropout = nn.Dropout(config.dropout)
        self.linear = nn.Linear(self.pooling.output_size, outputs)

    def take_vectors(self, vectors: Tensor, known: Tensor, *, freeze: bool) -> None:
        """Starts the words' vectors from `(vocabulary, size)`; `freeze` keeps them as they are.

        Words that are not `known`, `(vocabulary,)`, keep their small random start: as zeros they
        would all be one word.
        """
        with torch.no_grad():
            self.embedding.weight[known] = vectors[known]
        self.embedding.weight.requires_grad_(not freeze)

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """`values`: `(time, batch)` token numbers, `lengths`: `(batch,)` -> `(batch, outputs)`."""
        time, batch = values.shape
        x = self.embedding_dropout(self._vectors(values))
        if self.segment:
            x, real = chop(x, lengths, self.segment)
        else:
            real = lengths
        y, _ = self.recurrent(x, lengths=real)
        pooled = self.pooling(join(y, time, batch), lengths)
        return self.linear(self.dropout(pooled))

    def _vectors(self, values: Tensor) -> Tensor:
        """The words' vectors, and those of how they are written."""
        if self.shapes is None:
            return self.embedding(self.word_dropout(values))
        size = self.embedding.num_embeddings
        words = self.word_dropout(values % size)
        return self.embedding(words) + self.shapes(values // size)


class TextClassifier(nn.Module):
    """Networks that answer together: the mean of their log-probabilities (Hansen & Salamon 1990).

    Args: as for `TextNetwork`; `config.members` says how many. With an `encoder`, the network of a
        language model, there is one, which continues it.
    """

    def __init__(
        self,
        config: ModelConfig,
        cell: Cell,
        vocabulary: int,
        outputs: int,
        *,
        dimension: int | None = None,
        pieces: Mapping[str, int] | None = None,
        encoder: LanguageNetwork | None = None,
    ) -> None:
        super().__init__()
        self.vocabulary, self.outputs = vocabulary, outputs
        self.dimension = dimension or config.embedding
        self.encoder_facts = None if encoder is None else described(encoder)
        self.layers = 0 if encoder is None else encoder.config.depth
        self.members = nn.ModuleList(
            TextNetwork(config, cell, vocabulary, outputs, dimension=dimension, pieces=pieces)
            if encoder is None
            else TransferNetwork(config, encoder, outputs)
            for _ in range(1 if encoder is not None else config.members or 1)
        )

    def take_vectors(self, vectors: Tensor, known: Tensor, *, freeze: bool) -> None:
        """Starts every network's words from `(vocabulary, size)`; `freeze` keeps them."""
        for member in self.members:
            assert isinstance(member, TextNetwork)
            member.take_vectors(vectors, known, freeze=freeze)

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """`(time, batch)` token numbers and `(batch,)` lengths -> `(members, batch, outputs)`."""
        return torch.stack([member(values, lengths) for member in self.members])


def recurrent_stack(config: ModelConfig, cell: Cell, input_size: int) -> Recurrent | Deep:
    """The recurrent part of the settings, from vectors of `input_size`.

    Raises:
        ConfigError: the cell reads more than words.
    """
    check_one_input(cell.step(**config.hyperparameters), "a text")
    options: dict[str, Any] = {
        "depth": config.depth,
        "bidirectional": config.bidirectional,
        "dropout": config.layer_dropout,
        "recurrent_dropout": config.recurrent_dropout,
        "weight_drop": config.weight_drop,
        "zoneout": config.zoneout,
        "layer_norm": config.layer_norm,
        "init": config.init,
        "hyperparameters": config.hyperparameters,
        "backend": config.backend,
    }
    if config.stack == "deep":
        return Deep(cell, input_size, config.hidden, **options)
    residual = config.stack == "residual"
    return Recurrent(cell, input_size, config.hidden, residual=residual, **options)
