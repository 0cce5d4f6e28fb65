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
from elman.data import EncodedTexts, TextExample, Tokeniser, load_tokeniser
from elman.errors import RunError
from elman.files import read_json, replacing, write_json
from elman.tasks import run
from elman.tasks.blend import Blend, Scores, scores_of
from elman.tasks.classify_config import ClassifyConfig
from elman.tasks.classify_training import network_scores
from elman.tasks.floor import Floor, Floors, load_floors, save_floors
from elman.tasks.held_out import Owners
from elman.tasks.network import TextClassifier
from elman.tasks.texts import LabelledTexts, encoded
from elman.tasks.transfer import rebuilt

_BATCH = 1024  # texts scored at a time

MODEL, WEIGHTS = "model.json", "model.safetensors"


@dataclass
class Fitted:
    """Network, tokeniser, classes, floor and blend: everything that turns texts into labels.

    `vectors` are the facts of the word vectors that the network began with, for `result.json`.
    """

    config: ClassifyConfig
    network: TextClassifier
    tokeniser: Tokeniser
    classes: tuple[str, ...]
    several: bool
    columns: dict[str, str | None]
    blend: Blend
    floors: Floors = ()
    vectors: dict[str, Any] | None = None

    @property
    def floor(self) -> Floor | None:
        """The classical model that is measured beside this one."""
        return self.floors[0] if self.floors else None

    def scored(self, texts: Iterable[str]) -> tuple[Scores, Scores | None]:
        """The networks' scores and the floors', `(rows, classes)` each, read in a stream."""
        network: list[Scores] = []
        floor: list[Scores] = []
        stream = iter(texts)
        while block := list(islice(stream, _BATCH)):
            examples = [TextExample(text, (), "") for text in block]
            network.append(self.network_scores(self.encoded(examples)))
            if self.floors:
                floor.append(self.floor_scores(block).mean(axis=0))
        empty = np.zeros((0, len(self.classes)))
        first = np.concatenate(network) if network else empty
        if not self.floors:
            return first, None
        return first, np.concatenate(floor) if floor else empty

    def encoded(self, texts: LabelledTexts | Sequence[TextExample]) -> EncodedTexts:
        """The texts as the networks read them."""
        shapes = self.config.model.shapes
        return encoded(texts, self.tokeniser, self.classes, several=self.several, shapes=shapes)

    def network_scores(self, numbers: EncodedTexts, owners: Owners | None = None) -> Scores:
        """The networks' scores of encoded texts; each row's by its owner alone, if one is given."""
        return network_scores(self.network, numbers, self.config.data, owners)

    def floor_scores(self, texts: Iterable[str]) -> Scores:
        """`(floors, rows, classes)`: each floor's scores; there is one at least."""
        given = list(texts)
        return np.stack(
            [scores_of(floor.probabilities(given), self.several) for floor in self.floors]
        )

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
        files += save_floors(self.floors, folder)
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
                "floor": bool(self.floors),
            },
        )
        return files


def load_fitted(folder: Path, config: ClassifyConfig, cell: Cell) -> Fitted:
    """The classifier in a run directory whose files have been verified.

    Raises:
        RunError: a file is missing or does not fit the others.
    """
    facts = read_json(folder / MODEL)
    tokeniser = load_tokeniser(folder)
    try:
        network = TextClassifier(
            config.model,
            cell,
            facts["vocabulary"],
            facts["outputs"],
            dimension=facts["dimension"],
            pieces=tokeniser.vocabulary,
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
        tokeniser,
        tuple(facts["classes"]),
        facts["several"],
        facts["columns"],
        Blend(**facts["blend"]),
        load_floors(folder) if facts["floor"] else (),
    )


def outputs_for(classes: Sequence[str], several: bool) -> int:
    """Scores of the network: one for a yes/no question, otherwise one a class."""
    return 1 if len(classes) == 2 and not several else len(classes)


def parameter_count(module: nn.Module) -> int:
    """The number of trainable weights."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
