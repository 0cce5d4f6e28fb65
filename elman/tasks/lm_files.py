"""A trained language model and its files in a run directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as arrays
from safetensors.torch import load_file, save_file
from torch import Tensor

from elman.cells import Cell
from elman.data import Tokeniser, load_tokeniser
from elman.data.corpus import EncodedCorpus
from elman.errors import RunError
from elman.files import read_json, replacing, write_json
from elman.tasks import run
from elman.tasks.lm_config import LmConfig, LmModelConfig
from elman.tasks.lm_network import LanguageNetwork
from elman.tasks.lm_text import Written
from elman.tasks.lm_training import token_losses
from elman.tasks.ngrams import NGrams

MODEL, WEIGHTS, FLOOR = "model.json", "model.safetensors", "floor.safetensors"


@dataclass
class FittedText:
    """Network, tokeniser, floor, and whether they have learnt to reply."""

    config: LmConfig
    network: LanguageNetwork
    tokeniser: Tokeniser
    floor: tuple[str, NGrams] | None = None
    dialogues: bool = False

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """What each token adds to the text."""
        written = Written(self.tokeniser)
        return [written.add(token) for token in ids]

    def surprises(self, ids: np.ndarray) -> list[tuple[str, float]]:
        """Each token of a passage as text, with its log-probability."""
        corpus = EncodedCorpus(np.asarray(ids, np.int32), 0, 1, len(ids), len(ids), 0, "")
        logs = (-token_losses(self.network, corpus)).tolist()
        return list(zip(self.pieces([int(k) for k in ids])[1:], logs, strict=True))

    def save(self, folder: Path) -> list[str]:
        """Writes the model's files and gives their names."""
        run.write_config(folder, self.config.model_dump(mode="json"))
        self.tokeniser.save(folder)
        files = ["config.yaml", "tokenizer.json", "tokenizer.header.json", MODEL, WEIGHTS]
        facts: dict[str, Any] = {
            "task": "lm",
            "vocabulary": self.network.vocabulary,
            "tied": self.network.tied,
            "floor": None,
            "dialogues": self.dialogues,
        }
        if self.floor is not None:
            name, model = self.floor
            facts["floor"] = {"name": name, "smoothing": model.smoothing}
            with replacing(folder / FLOOR) as temporary:
                arrays.save_file(model.arrays(), temporary)
            files.append(FLOOR)
        with replacing(folder / WEIGHTS) as temporary:
            state = self.network.state_dict()
            save_file({name: value.contiguous() for name, value in state.items()}, temporary)
        write_json(folder / MODEL, facts)
        return files


def form_of(config: LmModelConfig, weights: Mapping[str, Tensor]) -> LmModelConfig:
    """The settings with what the weights say of their own form, which defaults may change."""
    form: dict[str, Any] = {"embedding": weights["embedding.weight"].shape[1]}
    if any(name.startswith("adaptive.") for name in weights):
        form |= {"softmax": "adaptive", "tied": False}
    return config.model_copy(update=form)


def load_text(folder: Path, config: LmConfig, cell: Cell) -> FittedText:
    """The language model in a run directory whose files have been verified.

    Raises:
        RunError: a file is missing or does not fit the others.
    """
    facts = read_json(folder / MODEL)
    try:
        weights = load_file(folder / WEIGHTS)
        network = LanguageNetwork(
            form_of(config.model, weights), cell, facts["vocabulary"], tied=facts["tied"]
        )
        network.load_state_dict(weights)
        floor = None
        if facts["floor"] is not None:
            kept = arrays.load_file(folder / FLOOR)
            smoothing = facts["floor"]["smoothing"]
            model = NGrams.restored(kept, facts["vocabulary"], smoothing)
            floor = (facts["floor"]["name"], model)
    except (KeyError, RuntimeError, SafetensorError) as error:
        raise RunError(
            f"the weights do not fit the settings: {str(error).splitlines()[0]}",
            where=str(folder / WEIGHTS),
        ) from error
    network.eval()
    dialogues = facts.get("dialogues", True)  # runs that do not say were let talk
    return FittedText(config, network, load_tokeniser(folder), floor, dialogues)
