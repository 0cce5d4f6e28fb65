"""Small texts and networks for the tests of language models."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from elman.cells import find
from elman.data.corpus import EncodedCorpus
from elman.tasks.lm_config import LmConfig
from elman.tasks.lm_network import LanguageNetwork

TEXT = "the cat sat on the mat.\nthe dog ran to the man.\n" * 60


def corpus(size: int = 400, seed: int = 0, boundary: int = 0) -> EncodedCorpus:
    ids = np.random.default_rng(seed).integers(1, 9, size).astype(np.int32)
    ids[0] = boundary
    ids[size // 3] = boundary
    return EncodedCorpus(ids, boundary, 2, size, size, 0, "")


def network(**options: Any) -> LanguageNetwork:
    torch.manual_seed(0)
    config = LmConfig(model={"hidden": 12, "depth": 2, **options}).model
    made = LanguageNetwork(config, find(config.cell), 9, tied=options.get("tied") or False)
    if made.attention is not None:  # it begins with zeros, and would add nothing
        torch.nn.init.normal_(made.attention.leave.weight)
    return made


ATTENTION = {"attention": 11}
TAPERED = {"tied": True, "embedding": 6, "outputs": "last"}
