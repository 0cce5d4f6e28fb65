"""Which network of an ensemble leaves out which rows: together they learn from every row.

Each of the networks (and of the floors beside them) holds out another share of the training file
and is validated on it; their answers on rows they have not seen are what stacking is fitted on
(Wolpert 1992). One that is asked later has all of them answer, as in bagging (Breiman 1996).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.data import stratified_split
from elman.tasks.classify_config import FEW, SMALL, ModelConfig

Owners = NDArray[np.int64]
LEARNT = -1  # no network leaves out such a row


def members_for(model: ModelConfig, rows: int) -> int:
    """Networks that answer together: the fewer the rows, the more."""
    if model.encoder is not None:  # it goes on from one network
        return 1
    return model.members or (5 if rows <= FEW else 3 if rows <= SMALL else 1)


def owners_of(labels: Sequence[Any], share: float, networks: int, seed: int) -> Owners:
    """`(rows,)`: the network that leaves a row out, or `LEARNT`; stratified, no row twice.

    Args:
        labels: one label, or a tuple of labels, for each row.
        share: of the rows, that each network leaves out. Where the shares do not fit side by side
            all networks leave out the same rows: those of network 0.
        networks: how many there are.
        seed: of the shuffling; network 0 leaves out what `stratified_split` splits off.
    """
    owners = np.full(len(labels), LEARNT, dtype=np.int64)
    rest = list(range(len(labels)))
    for network in range(networks if networks * share < 1 else 1):
        if len(rest) < 2:
            break
        fraction = share / (1 - network * share)
        kept, off = stratified_split([labels[row] for row in rest], fraction, seed)
        owners[[rest[place] for place in off]] = network
        rest = [rest[place] for place in kept]
    return owners
