"""The papers that a run stands on."""

from __future__ import annotations

from elman.diagnostics.run_record import RunRecord

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


def sources(record: RunRecord) -> list[str]:
    """Citations: the cell's (when the run names it), the floor's, the measurement's."""
    found = []
    citation = record.part("model").get("citation")
    if citation:
        found.append(f"{citation} (the cell)")
    floor = record.part("floor")
    if "naive-Bayes" in str(floor.get("name", "")):
        found.append(_NAIVE_BAYES)
    if floor:
        found.append(_LINEAR)
    return [*found, _TEMPERATURE, _BOOTSTRAP]
