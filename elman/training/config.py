"""The settings of a training run; without torch, so that a command line reads them quickly."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from elman.errors import did_you_mean

OPTIMISER_NAMES = (
    "adamw",
    "adam",
    "sgd",
    "rmsprop",
    "nadam",
    "radam",
    "adagrad",
    "adamax",
    "adadelta",
)
"""The optimisers by name; `elman.training.optimisers` holds the table behind them."""

DECOUPLED = ("adamw", "nadam", "radam")
"""Optimisers whose weight decay shrinks the weights directly (Loshchilov & Hutter 2019)."""

Schedule = Literal["one-cycle", "cosine", "plateau", "constant"]
Average = Literal["ema", "swa", "none"]


class TrainingConfig(BaseModel):
    """How a model is trained. The defaults follow `recipes.md`, section 5, for short runs.

    Changing a field between a run and its resumption is refused, with the few exceptions that
    `elman.training.resumption` lists.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    epochs: int = Field(default=10, ge=1, description="passes over the training data, at most")
    minutes: float | None = Field(
        default=None, gt=0, description="wall-clock budget for training, validation included"
    )
    optimiser: str = Field(default="adamw", description="one of " + ", ".join(OPTIMISER_NAMES))
    lr: float = Field(default=2e-3, gt=0, description="the largest learning rate of the schedule")
    betas: tuple[float, float] = Field(default=(0.9, 0.99), description="of the Adam family")
    weight_decay: float | None = Field(
        default=None,
        ge=0,
        description="0.05 for adamw, nadam and radam and 0 for the others when not given",
    )
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of sgd and rmsprop")
    schedule: Schedule = "one-cycle"
    warmup: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="share of the run with a rising rate (one-cycle, cosine)",
    )
    final_lr: float = Field(default=0.01, ge=0, le=1, description="last rate as a share of `lr`")
    plateau_factor: float = Field(
        default=0.5, gt=0, lt=1, description="what a plateau multiplies the rate by"
    )
    plateau_patience: int = Field(
        default=1, ge=0, description="validations without improvement that a plateau forgives"
    )
    clip: float | None = Field(
        default=1.0,
        gt=0,
        description="largest norm of the gradient; null: any",
    )
    average: Average = "ema"
    ema_decay: float = Field(default=0.99, ge=0, lt=1)
    swa_start: float = Field(
        default=0.75,
        ge=0,
        lt=1,
        description="share of the run before averaging",
    )
    patience: int | None = Field(
        default=None, ge=1, description="validations without improvement before training stops"
    )
    accumulate: int = Field(default=1, ge=1, description="batches per optimiser step and process")
    precision: Literal["auto", "32", "bf16", "16"] = Field(
        default="32", description="of products; auto: bf16 where the processor or GPU multiplies it"
    )
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1, mps")
    devices: int = Field(default=1, ge=1, description="processes that share each step")
    seed: int = Field(default=1, ge=0, lt=2**32)
    deterministic: bool = True
    checkpoint_seconds: float = Field(
        default=30.0, ge=0, description="time between checkpoints; 0: after every step"
    )
    tensorboard: bool = False

    @field_validator("optimiser")
    @classmethod
    def _known_optimiser(cls, value: str) -> str:
        name = value.casefold()
        if name not in OPTIMISER_NAMES:
            raise ValueError(
                f'there is no optimiser "{value}". {did_you_mean(value, OPTIMISER_NAMES)}'
            )
        return name

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        name = value.casefold()
        if not re.fullmatch(r"auto|cpu|mps|(cuda|gpu)(:\d+)?", name):
            raise ValueError(
                f'there is no device "{value}". '
                f"{did_you_mean(value, ('auto', 'cpu', 'cuda', 'cuda:0', 'mps'))}"
            )
        return name.replace("gpu", "cuda")

    @field_validator("betas")
    @classmethod
    def _betas_below_one(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in value):
            raise ValueError(f"both betas must lie in [0, 1), got {value}")
        return value

    @model_validator(mode="after")
    def _device_counts_agree(self) -> TrainingConfig:
        if self.devices > 1 and (":" in self.device or self.device == "mps"):
            raise ValueError(
                f'device "{self.device}" is one device, but devices = {self.devices} processes '
                "were asked for; name the kind only (cpu, cuda)"
            )
        return self

    @property
    def decay(self) -> float:
        """The weight decay in force: the given one, else what suits the optimiser."""
        if self.weight_decay is not None:
            return self.weight_decay
        return 0.05 if self.optimiser in DECOUPLED else 0.0
