"""The compiler: from equations to a step, and what follows from a step. No torch, no numpy.

`trace` runs a function of equations on symbolic values and gives a `Step` (`ir.py` holds the
grammar); `verify` checks a step, `simplify` shortens it, `analyse` derives levels and costs,
`format_text` and `format_latex` print it, `match` recognises it, `transform` rewrites it.
"""

from elman.compiler.analyse import Analysis, analyse, flops
from elman.compiler.cell import Cell, cell
from elman.compiler.match import match
from elman.compiler.primitives import PRIMITIVES, Primitive
from elman.compiler.printing import format_latex, format_text
from elman.compiler.simplify import simplify
from elman.compiler.trace import trace
from elman.compiler.verify import verify

__all__ = [
    "PRIMITIVES", "Analysis", "Cell", "Primitive", "analyse", "cell", "flops", "format_latex",
    "format_text", "match", "simplify", "trace", "verify",
]  # fmt: skip
