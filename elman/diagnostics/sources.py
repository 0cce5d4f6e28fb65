"""The papers that a run stands on."""

from __future__ import annotations

from elman.cells import find
from elman.diagnostics.run_record import RunRecord
from elman.errors import ElmanError

_NAIVE_BAYES = (
    "S. Wang, C. Manning 2012. Baselines and bigrams: simple, good sentiment and topic "
    "classification. ACL. (the floor's naive-Bayes weights)"
)
_LINEAR = (
    "R.-E. Fan, K.-W. Chang, C.-J. Hsieh, X.-R. Wang, C.-J. Lin 2008. LIBLINEAR: a library for "
    "large linear classification. JMLR 9. (the floor's solver)"
)
_TEMPERATURE = (
    "C. Guo, G. Pleiss, Y. Sun, K. Weinberger 2017. On calibration of modern neural networks. "
    "ICML. (ECE and temperature scaling)"
)
_BOOTSTRAP = (
    "B. Efron 1979. Bootstrap methods: another look at the jackknife. Annals of Statistics 7. "
    "(the intervals)"
)


def _citation(record: RunRecord) -> str:
    """The cell's, as the run names it; older runs name the cell alone."""
    model = record.part("model")
    if model.get("citation") or "citation" in model or not model.get("cell"):
        return str(model.get("citation") or "")
    try:
        return find(str(model["cell"])).citation
    except ElmanError:  # a cell of the user's own
        return ""


def sources(record: RunRecord) -> list[str]:
    """Citations: the cell's (when the run names it), the floor's, the measurement's."""
    found = []
    citation = _citation(record)
    if citation:
        found.append(f"{citation} (the cell)")
    floor = record.part("floor")
    if "naive-Bayes" in str(floor.get("name", "")):
        found.append(_NAIVE_BAYES)
    if floor:
        found.append(_LINEAR)
    return [*found, _TEMPERATURE, _BOOTSTRAP]
