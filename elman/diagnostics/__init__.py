"""What happened and why: reports and model cards. Diagnostics look, they never touch."""

from __future__ import annotations

from elman.diagnostics.cell_check import CellCheck, check_cell
from elman.diagnostics.report import write_report

__all__ = ["CellCheck", "check_cell", "write_report"]
