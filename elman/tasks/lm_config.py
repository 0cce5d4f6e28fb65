"""The settings of the language model, its presets, and the short names of common settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from elman.data.config import TokeniserConfig
from elman.tasks.classify_config import Section
from elman.training import TrainingConfig


class CorpusConfig(Section):
    """How running text is read."""

    text: str | None = Field(default=None, description="the column of the text, of rows")
    documents: Literal["auto", "file", "line", "paragraph"] = Field(
        default="auto", description="what is one document; the state starts anew with each"
    )
    encoding: str | None = None
    tokeniser: TokeniserConfig = TokeniserConfig()


class LmModelConfig(Section):
    """The network: embedding, recurrent stack, softmax."""

    start: str | None = Field(
        default=None, description="a run to go on from: its tokeniser, its sizes, its weights"
    )
    cell: str = Field(default="lstm", description="a cell of the catalogue; see `elman cells`")
    embedding: int | None = Field(
        default=None, ge=1, description="size of a token's vector; null: 128, as `hidden` if tied"
    )
    hidden: int = Field(
        default=384,
        ge=1,
        description="units of a layer; where outputs is last and tied, the last has `embedding`",
    )
    depth: int = Field(default=2, ge=1, description="recurrent layers")
    stack: Literal["plain", "deep"] = Field(
        default="plain", description="deep: residual blocks with norms and feed-forward parts"
    )
    outputs: Literal["last", "sum"] = Field(
        default="sum",
        description="what predicts: the last layer, or the sum of all; a deep stack has the last",
    )
    attention: int = Field(
        default=0, ge=0, description="steps that one attention head behind the layers sees; 0: none"
    )
    tied: bool | None = Field(
        default=None,
        description="one matrix for embedding and softmax; null: from 1000 kinds of tokens on",
    )
    softmax: Literal["auto", "full", "sampled", "adaptive"] = Field(
        default="auto",
        description="sampled: training sees some tokens at a time (auto: of more than 50 000); "
        "adaptive: frequent tokens come first (Grave et al. 2017)",
    )
    samples: int = Field(
        default=1024, ge=1, description="tokens that a sampled softmax draws beside a batch's own"
    )
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    init: str | dict[str, Any] | None = Field(
        default=None, description="an initialiser or globs of them; null: the cell's own"
    )
    embedding_dropout: float = Field(default=0.0, ge=0, lt=1, description="on whole token types")
    input_dropout: float = Field(default=0.0, ge=0, lt=1, description="on the vectors")
    layer_dropout: float = Field(default=0.3, ge=0, lt=1, description="between layers")
    output_dropout: float = Field(default=0.3, ge=0, lt=1, description="before the softmax")
    recurrent_dropout: float = Field(default=0.0, ge=0, lt=1)
    weight_drop: float = Field(default=0.0, ge=0, lt=1, description="on the recurrent matrices")
    zoneout: float = Field(default=0.0, ge=0, lt=1)
    ar: float = Field(default=0.0, ge=0, description="penalty on large outputs")
    tar: float = Field(default=0.0, ge=0, description="penalty on outputs that change fast")
    backend: str | None = None


class StreamsConfig(Section):
    """How the text becomes batches."""

    streams: int = Field(default=64, ge=1, description="parts of the text read side by side")
    tbptt: int = Field(
        default=128, ge=1, description="steps that are backpropagated through at once"
    )


class NGramConfig(Section):
    """The statistical language model beside the network."""

    measure: bool = Field(default=True, description="fit it and print it beside the network")
    longest: int = Field(default=8, ge=1, description="the longest n-gram that is tried")


class LmConfig(Section):
    """Every setting of a run; `config.yaml` holds them all."""

    task: Literal["lm"] = "lm"
    preset: str = "default"
    valid: str | float = Field(
        default=0.1, description="a file, or the share of the text's end to hold out"
    )
    data: CorpusConfig = CorpusConfig()
    model: LmModelConfig = LmModelConfig()
    batch: StreamsConfig = StreamsConfig()
    floor: NGramConfig = NGramConfig()
    training: TrainingConfig = TrainingConfig()


COMMON = {
    "cell": "model.cell",
    "hidden": "model.hidden",
    "depth": "model.depth",
    "level": "data.tokeniser.level",
    "start": "model.start",
    "tbptt": "batch.tbptt",
    "epochs": "training.epochs",
    "minutes": "training.minutes",
    "seed": "training.seed",
    "device": "training.device",
    "devices": "training.devices",
}
"""Short names of the settings that everybody changes."""

# A text is written again as it was: no letter is folded, none is too rare. A quarter of a batch of
# 64 streams and 128 steps is four steps of the optimiser in little more than the time of one.
_EXACT: dict[str, Any] = {"data.tokeniser.lowercase": False, "data.tokeniser.min_count": 1}
_RECIPE: dict[str, Any] = {
    **_EXACT,
    "batch.streams": 32,
    "batch.tbptt": 64,
    "training.epochs": 20,
    "training.lr": 4e-3,
    "training.schedule": "cosine",
    "training.warmup": 0.03,
    "training.final_lr": 0.02,
    "training.ema_decay": 0.995,
    "training.precision": "auto",
}
# Letters are read twenty times: without much dropout they are learnt by heart.
_LETTERS: dict[str, Any] = {
    **_RECIPE,
    "model.layer_dropout": 0.4,
    "model.output_dropout": 0.4,
    "model.recurrent_dropout": 0.2,
}

MANY = 1000
"""Kinds of tokens from which on the recipe is that of words, unless another preset is named; they
share one matrix between embedding and softmax."""

PRESETS: dict[str, Mapping[str, Any]] = {
    # Two layers whose outputs are added, masks shared over time, AdamW, averaged weights.
    "default": _LETTERS,
    # Words, pieces of words, Chinese characters: most are rare, so that more is dropped.
    "word": {
        **_RECIPE,
        "model.embedding_dropout": 0.1,
        "model.input_dropout": 0.3,
        "model.output_dropout": 0.4,
        "training.lr": 3e-3,
    },
    # Merity et al. 2018, for a GPU: three layers, everything dropped, SGD. At its rate other
    # initial values learn unsteadily.
    "awd-lstm": {
        **_EXACT,
        "data.tokeniser.level": "blank",
        "model.embedding": 400,
        "model.hidden": 1150,
        "model.depth": 3,
        "model.outputs": "last",
        "model.tied": True,
        "model.init": "uniform",
        "model.embedding_dropout": 0.1,
        "model.input_dropout": 0.4,
        "model.layer_dropout": 0.25,
        "model.output_dropout": 0.4,
        "model.weight_drop": 0.5,
        "model.ar": 2.0,
        "model.tar": 1.0,
        "batch.streams": 20,
        "batch.tbptt": 70,
        "training.optimiser": "sgd",
        "training.momentum": 0.0,
        "training.lr": 30.0,
        "training.weight_decay": 1.2e-6,
        "training.schedule": "constant",
        "training.average": "swa",
        "training.clip": 0.25,
    },
    "char": {**_LETTERS, "data.tokeniser.level": "char"},
    # Deep residual blocks of a gated linear recurrence (Feng et al. 2024).
    "deep": {
        **_RECIPE,
        "model.cell": "minGRU",
        "model.stack": "deep",
        "model.hidden": 256,
        "model.depth": 4,
        "model.outputs": "last",
        "model.layer_dropout": 0.1,
        "batch.streams": 64,
        "batch.tbptt": 128,
    },
}
