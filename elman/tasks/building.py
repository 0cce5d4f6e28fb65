"""The network of a classifier, as it is before it has learnt, and its blend with the floor."""

from __future__ import annotations

from collections.abc import Callable

import torch

from elman.cells import Cell
from elman.data import read_vectors
from elman.tasks.blend import Blend, Scores, fit_blend
from elman.tasks.classify_config import ClassifyConfig
from elman.tasks.fitted import Fitted, outputs_for
from elman.tasks.measurement import vector_facts
from elman.tasks.network import TextClassifier
from elman.tasks.preparation import Prepared
from elman.tasks.transfer import language_network


def built(config: ClassifyConfig, cell: Cell, made: Prepared, say: Callable[[str], None]) -> Fitted:
    """The classifier before training; its weights follow from the seed."""
    model = config.model
    torch.manual_seed(config.training.seed)
    vectors = found = None
    if model.vectors is not None:
        vectors = read_vectors(model.vectors, made.tokeniser.vocabulary)
        found = vector_facts(model.vectors, vectors, made.tokeniser.size - 2)
        say(
            f"vectors: {found['found']} of {found['words']} words found "
            f"({100 * found['coverage']:.1f} %), {found['dimension']} numbers each"
        )
    network = TextClassifier(
        model,
        cell,
        made.tokeniser.size,
        outputs_for(made.classes, made.several),
        dimension=None if vectors is None else vectors.dim,
        pieces=made.tokeniser.vocabulary,
        encoder=None if model.encoder is None else language_network(model.encoder),
    )
    if vectors is not None:
        matrix, known = torch.from_numpy(vectors.matrix), torch.from_numpy(vectors.mask)
        network.take_vectors(matrix, known, freeze=model.freeze_vectors)
    return Fitted(
        config,
        network,
        made.tokeniser,
        made.classes,
        made.several,
        made.columns,
        Blend(several=made.several),
        made.floors,
        found,
    )


def blended(fitted: Fitted, made: Prepared, network: Scores, floor: Scores | None) -> Blend:
    """How the networks' scores and the floors' add up, fitted on rows that they have not seen."""
    beside = floor if fitted.config.floor.blend else None
    targets = made.numbers_valid.targets(range(len(made.valid)))
    return fit_blend(network, beside, targets, several=made.several)
