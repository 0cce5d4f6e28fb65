"""A trained classifier: what is needed to score texts, and its files in a run directory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from elman.cells import Cell
from elman.data import EncodedTexts, TextExample, Tokeniser, encode, load_tokeniser
from elman.errors import RunError
from elman.files import read_json, replacing, write_json
from elman.tasks import run
from elman.tasks.blend import Blend, Scores, scores_of
from elman.tasks.classify_config import ClassifyConfig
from elman.tasks.classify_training import network_scores
from elman.tasks.floor import Floor
from elman.tasks.network import TextClassifier
from elman.tasks.transfer import rebuilt

_BATCH = 1024  # texts scored at a time

MODEL, WEIGHTS = "model.json", "model.safetensors"


@dataclass
class Fitted:
    """Network, tokeniser, classes, floor and blend: everything that turns texts into labels."""

    config: ClassifyConfig
    network: TextClassifier
    tokeniser: Tokeniser
    classes: tuple[str, ...]
    several: bool
    columns: dict[str, str | None]
    blend: Blend
    floor: Floor | None = None

    def scored(self, texts: Iterable[str]) -> tuple[Scores, Scores | None]:
        """The network's scores and the floor's, `(rows, classes)` each, read in a stream."""
        network: list[Scores] = []
        floor: list[Scores] = []
        stream = iter(texts)
        while block := list(islice(stream, _BATCH)):
            examples = [TextExample(text, (), "") for text in block]
            numbers = encode(examples, self.tokeniser, self.classes, several_labels=self.several)
            network.append(self.network_scores(numbers))
            if self.floor is not None:
                floor.append(scores_of(self.floor.probabilities(block), self.several))
        empty = np.zeros((0, len(self.classes)))
        first = np.concatenate(network) if network else empty
        if self.floor is None:
            return first, None
        return first, np.concatenate(floor) if floor else empty

    def network_scores(self, numbers: EncodedTexts) -> Scores:
        """The network's scores of encoded texts."""
        return network_scores(self.network, numbers, self.config.data)

    def labels(self, probabilities: Scores) -> list[Any]:
        """Each row's label; a tuple of labels when there may be several."""
        if not self.several:
            return [self.classes[k] for k in probabilities.argmax(axis=1)]
        return [tuple(self.classes[k] for k in np.flatnonzero(row > 0.5)) for row in probabilities]

    def save(self, folder: Path) -> list[str]:
        """Writes the model's files and gives their names."""
        run.write_config(folder, self.config.model_dump(mode="json"))
        self.tokeniser.save(folder)
        files = ["config.yaml", "tokenizer.json", "tokenizer.header.json", MODEL, WEIGHTS]
        if self.floor is not None:
            self.floor.save(folder)
            files += ["floor.json", "floor.safetensors"]
        with replacing(folder / WEIGHTS) as temporary:
            save_file(
                {name: value.contiguous() for name, value in self.network.state_dict().items()},
                temporary,
            )
        write_json(
            folder / MODEL,
            {
                "classes": list(self.classes),
                "several": self.several,
                "columns": self.columns,
                "blend": self.blend.as_dict(),
                "vocabulary": self.network.vocabulary,
                "dimension": self.network.dimension,
                "outputs": self.network.outputs,
                "encoder": self.network.encoder_facts,
                "floor": self.floor is not None,
            },
        )
        return files


def load_fitted(folder: Path, config: ClassifyConfig, cell: Cell) -> Fitted:
    """The classifier in a run directory whose files have been verified.

    Raises:
        RunError: a file is missing or does not fit the others.
    """
    facts = read_json(folder / MODEL)
    try:
        network = TextClassifier(
            config.model,
            cell,
            facts["vocabulary"],
            facts["outputs"],
            dimension=facts["dimension"],
            encoder=rebuilt(facts["encoder"]) if facts.get("encoder") else None,
        )
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (KeyError, RuntimeError, SafetensorError) as error:
        raise RunError(
            f"the weights do not fit the settings: {str(error).splitlines()[0]}",
            where=str(folder / WEIGHTS),
        ) from error
    network.eval()
    return Fitted(
        config,
        network,
        load_tokeniser(folder),
        tuple(facts["classes"]),
        facts["several"],
        facts["columns"],
        Blend(**facts["blend"]),
        Floor.load(folder) if facts["floor"] else None,
    )


def outputs_for(classes: Sequence[str], several: bool) -> int:
    """Scores of the network: one for a yes/no question, otherwise one a class."""
    return 1 if len(classes) == 2 and not several else len(classes)


def parameter_count(module: nn.Module) -> int:
    """The number of trainable weights."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
