"""From scores to sequences: sampling, beam search, constraints.

Nothing here knows a network: a decoder needs a function from (token, state) to (scores, state).
"""

from __future__ import annotations

from elman.decoding.beam import Hypothesis, beam_search
from elman.decoding.constraints import (
    Closing,
    Constraint,
    Constraints,
    Following,
    Forbidden,
    LineStarts,
    Matching,
    Settling,
    acrostic,
)
from elman.decoding.required import Required
from elman.decoding.sampling import Sampling, Scores, choose, filtered, log_softmax, penalised

__all__ = [
    "Closing",
    "Constraint",
    "Constraints",
    "Following",
    "Forbidden",
    "Hypothesis",
    "LineStarts",
    "Matching",
    "Required",
    "Sampling",
    "Scores",
    "Settling",
    "acrostic",
    "beam_search",
    "choose",
    "filtered",
    "log_softmax",
    "penalised",
]
