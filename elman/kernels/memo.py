"""What is derived from a step once and looked up afterwards.

Steps are few and live long, and hashing one walks through all of its equations; so the table is
kept by identity and holds on to the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from elman.compiler.ir import Step

T = TypeVar("T")
_TABLE: dict[tuple[int, Any], tuple[Step, Any]] = {}


def memo(make: Callable[[Step], T], step: Step) -> T:
    """`make(step)`, made once for each step."""
    key = (id(step), make)
    found = _TABLE.get(key)
    if found is None or found[0] is not step:
        found = _TABLE[key] = (step, make(step))
    return found[1]
