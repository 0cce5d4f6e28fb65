"""The settings of the text classifier, its presets, and the short names of common settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from elman.cells import Cell
from elman.data import TextConfig
from elman.errors import ConfigError
from elman.tasks.settings import layered
from elman.training import TrainingConfig

SMALL, FEW = 20_000, 8000
"""Rows up to which there is time for three networks; for five, and words are rare enough to need
help."""


class Section(BaseModel):
    """A group of settings in which an unknown name is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class ModelConfig(Section):
    """The network: embedding, recurrent stack, pooling, and the wide part beside them."""

    cell: str = Field(default="lstm", description="a cell of the catalogue; see `elman cells`")
    hidden: int = Field(default=128, ge=1, description="units of a layer and direction")
    depth: int = Field(default=1, ge=1, description="recurrent layers")
    bidirectional: bool = True
    encoder: str | None = Field(
        default=None, description="the run of a language model to begin with"
    )
    pretrain: str | None = Field(
        default=None, description="text that a language model learns first, to begin with"
    )
    slower: float = Field(
        default=2.6, ge=1, description="how much slower each layer below learns, with an encoder"
    )
    unfreeze: bool = Field(
        default=True, description="set the encoder's layers free one by one, the last one first"
    )
    members: int | None = Field(
        default=None,
        ge=1,
        description="networks that answer together; null: 5 up to 8000 rows, 3 up to 20 000",
    )
    subwords: int | None = Field(
        default=None,
        ge=0,
        description="vectors shared by letter n-grams of words; null: 4096 up to 8000 rows",
    )
    stack: Literal["plain", "residual", "deep"] = Field(
        default="plain", description="deep: residual blocks with norms and feed-forward parts"
    )
    hyperparameters: dict[str, Any] = Field(
        default_factory=dict, description="the cell's own, such as {periods: [1, 2, 4]}"
    )
    init: str | dict[str, Any] | None = Field(
        default=None, description="an initialiser or globs of them; null: the cell's own"
    )
    layer_norm: Literal["inside", "around", "both"] | None = None
    segment: int = Field(
        default=50, ge=0, description="chop texts into so many steps; 0: never, as for pooling last"
    )
    pooling: str = Field(
        default="max+mean+attention", description="last, mean, max, attention, or joined by +"
    )
    embedding: int = Field(default=256, ge=1, description="size of a word's vector")
    vectors: str | None = Field(default=None, description="a file of word vectors to start from")
    freeze_vectors: bool = Field(
        default=False, description="keep the vectors of the file as they are"
    )
    shapes: bool | None = Field(
        default=None, description="vectors of capitals and digits; null: of words, up to 8000 rows"
    )
    embedding_dropout: float = Field(default=0.6, ge=0, lt=1)
    word_dropout: float = Field(
        default=0.1, ge=0, lt=1, description="share of words hidden in training"
    )
    layer_dropout: float = Field(default=0.2, ge=0, lt=1, description="between recurrent layers")
    recurrent_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="on the state, shared in time"
    )
    weight_drop: float = Field(default=0.0, ge=0, lt=1, description="on the recurrent matrices")
    zoneout: float = Field(default=0.0, ge=0, lt=1)
    dropout: float = Field(default=0.5, ge=0, lt=1, description="before the last linear layer")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    backend: str | None = Field(
        default=None, description="a kernel by name; the fastest one when null"
    )


class BatchConfig(Section):
    """How the rows of an epoch become batches of nearly equal length."""

    size: int | None = Field(default=64, ge=1, description="rows in a batch")
    tokens: int | None = Field(
        default=None, ge=1, description="tokens in a batch, padding included"
    )
    passes: int = Field(default=1, ge=1, description="over the rows, between two validations")
    balance: Literal["none", "weights", "sampler"] = Field(
        default="none", description="rare classes: weigh their loss, or draw them more often"
    )


class FloorConfig(Section):
    """The classical model beside the network."""

    measure: bool = Field(default=True, description="fit it and print it beside the network")
    blend: bool = Field(
        default=True, description="add its scores to the network's, weighed on the validation part"
    )


class ClassifyConfig(Section):
    """Every setting of a run; `config.yaml` holds them all."""

    task: Literal["classify"] = "classify"
    preset: str = "default"
    valid: str | float = Field(
        default=0.1, description="a file, or the share of the data to hold out"
    )
    data: TextConfig = TextConfig()
    model: ModelConfig = ModelConfig()
    batch: BatchConfig = BatchConfig()
    floor: FloorConfig = FloorConfig()
    training: TrainingConfig = TrainingConfig()


COMMON = {
    "cell": "model.cell",
    "hidden": "model.hidden",
    "depth": "model.depth",
    "bidirectional": "model.bidirectional",
    "vectors": "model.vectors",
    "encoder": "model.encoder",
    "pretrain": "model.pretrain",
    "epochs": "training.epochs",
    "minutes": "training.minutes",
    "seed": "training.seed",
    "device": "training.device",
    "devices": "training.devices",
}
"""Short names of the settings that everybody changes."""

PRESETS: dict[str, dict[str, Any]] = {
    # Johnson & Zhang 2016: short segments, pooling over every position. Beginning and end of a long
    # text say most (Sun et al. 2019).
    "default": {"data.head_tail": (150, 250)},
    # What every tutorial builds on IMDB: Maas et al. 2011's data, GloVe vectors, a packed
    # two-layer bidirectional LSTM, last states, Adam, binary cross-entropy, best loss kept.
    "bilstm-glove": {
        "data.tokeniser.max_size": 25_000,
        "data.tokeniser.min_count": 1,
        "model.hidden": 256,
        "model.depth": 2,
        "model.members": 1,
        "model.subwords": 0,
        "model.shapes": False,
        "model.segment": 0,
        "model.pooling": "last",
        "model.embedding": 100,
        "model.embedding_dropout": 0.5,
        "model.word_dropout": 0.0,
        "model.layer_dropout": 0.5,
        "model.dropout": 0.5,
        "batch.size": 64,
        "training.epochs": 5,
        "training.optimiser": "adam",
        "training.lr": 1e-3,
        "training.betas": (0.9, 0.999),
        "training.schedule": "constant",
        "training.average": "none",
        "training.clip": None,
        "training.seed": 42,
        "floor.blend": False,
    },
    # Deep residual blocks of a gated linear recurrence (Feng et al. 2024): long texts, no chopping.
    "deep-mingru": {
        "model.cell": "mingru",
        "model.depth": 4,
        "model.stack": "deep",
        "model.segment": 0,
    },
}


def subwords_for(model: ModelConfig, rows: int, level: str) -> int:
    """Vectors of letter n-grams: for words of a small set, unless the words' vectors are given."""
    if model.subwords is not None:
        return model.subwords
    given = model.vectors is not None or model.encoder is not None
    return 4096 if _few_words(rows, level) and not given else 0


def shapes_for(model: ModelConfig, rows: int, level: str) -> bool:
    """Vectors of capitals and digits: for words of a small set; an encoder has learnt without."""
    wanted = _few_words(rows, level) if model.shapes is None else model.shapes
    return wanted and model.encoder is None


def _few_words(rows: int, level: str) -> bool:
    return level in ("word", "blank") and rows <= FEW


def check_cell(cell: Cell, config: ClassifyConfig) -> None:
    """Refuses a cell that reads more than words.

    Raises:
        ConfigError: it does.
    """
    step = cell.step(**config.model.hyperparameters)
    if len(step.inputs) > 1:
        names = ", ".join(item.name for item in step.inputs[1:])
        raise ConfigError(
            f"{cell.name} needs {names} beside the words, which a text does not have.",
            where="model.cell",
            hint="Use another cell; see `elman cells`.",
        )


def configured(
    preset: str, config: ClassifyConfig | Mapping[str, Any] | None, common: Mapping[str, Any]
) -> ClassifyConfig:
    """The settings of a preset with the user's laid over them; see `settings.layered`.

    Raises:
        ConfigError: an unknown preset or setting, or an impossible value.
    """
    return layered(ClassifyConfig, PRESETS, COMMON, preset, config, common)
