"""The lengths of texts in a few figures and a histogram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BINS = 40


def length_facts(lengths: Sequence[int] | NDArray[Any]) -> dict[str, Any]:
    """Total, mean, median, 95th percentile and maximum of token counts, and a histogram.

    The histogram has `edges` (bins + 1) and `counts` (bins) with equal whole-number widths up to
    the 99th percentile; the last bin holds all that is longer.
    """
    values = np.asarray(lengths, np.int64)
    if not len(values):
        return {"total": 0, "mean": 0.0, "median": 0.0, "p95": 0.0, "max": 0}
    low, high = int(values.min()), int(np.quantile(values, 0.99)) + 1
    width = max(1, -(-(high - low) // _BINS))
    edges = np.arange(low, max(high, low + 1) + width, width)
    counts, _ = np.histogram(np.minimum(values, edges[-1] - 1), edges)
    return {
        "total": int(values.sum()),
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "p95": float(np.quantile(values, 0.95)),
        "max": int(values.max()),
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }
