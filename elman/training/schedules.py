"""Learning rate schedules: factors of the base rate as functions of the progress p in [0, 1].

Progress may be counted in steps or in wall-clock time; a schedule does not know which.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from elman.training.config import TrainingConfig

ONE_CYCLE_START = 0.04
COSINE_START = 0.01


def one_cycle(p: float, warmup: float, final: float) -> float:
    """Up along a half cosine from 1/25, then down along one to `final` (Smith & Topin 2018)."""
    if p < warmup:
        return _half_cosine(ONE_CYCLE_START, 1.0, p / warmup)
    return _half_cosine(1.0, final, (p - warmup) / (1.0 - warmup))


def cosine(p: float, warmup: float, final: float) -> float:
    """Up along a line from 1/100, then down along a half cosine (Loshchilov & Hutter 2017)."""
    if p < warmup:
        return COSINE_START + (1.0 - COSINE_START) * p / warmup
    return _half_cosine(1.0, final, (p - warmup) / (1.0 - warmup))


def _half_cosine(start: float, end: float, share: float) -> float:
    share = min(max(share, 0.0), 1.0)
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * share))


@dataclass
class Plateau:
    """Multiplies the rate when `patience` validations beyond the best brought no improvement.

    Attributes:
        factor: the present factor of the base rate, never below the settings' `final_lr`.
        waited: validations since the last improvement or reduction.
    """

    factor: float = 1.0
    waited: int = 0

    def validated(self, improved: bool, config: TrainingConfig) -> bool:
        """Takes note of a validation; True when the rate has been reduced."""
        self.waited = 0 if improved else self.waited + 1
        if self.waited <= config.plateau_patience:
            return False
        self.waited = 0
        before = self.factor
        self.factor = max(before * config.plateau_factor, config.final_lr)
        return self.factor < before


def factor(config: TrainingConfig, p: float, plateau: Plateau) -> float:
    """The factor of the base rate that the named schedule gives at progress `p`."""
    match config.schedule:
        case "one-cycle":
            return one_cycle(p, config.warmup, config.final_lr)
        case "cosine":
            return cosine(p, config.warmup, config.final_lr)
        case "plateau":
            return plateau.factor
        case "constant":
            return 1.0
