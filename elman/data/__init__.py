"""From a file to batches: rows, examples, tokenisers, vectors, splits, checks.

The names below are imported when they are first used, so that `import elman.data` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.data.batches import Batch, bucketed, collate, shortened_lengths
    from elman.data.checks import Finding, check_texts
    from elman.data.config import TextConfig, TokeniserConfig
    from elman.data.encoded import EncodedTexts, encode
    from elman.data.examples import Examples, Subset, TextExample, read_examples
    from elman.data.labels import class_names, count_labels
    from elman.data.rows import Asked, Row, Rows
    from elman.data.shapes import SHAPES, Shaped
    from elman.data.splits import k_folds, stratified_order, stratified_split
    from elman.data.tables import read_rows
    from elman.data.tokenisers import Tokeniser, build_tokeniser, load_tokeniser
    from elman.data.vectors import Vectors, read_vectors

_HOMES = {
    "SHAPES": "shapes",
    "Asked": "rows",
    "Batch": "batches",
    "EncodedTexts": "encoded",
    "Examples": "examples",
    "Finding": "checks",
    "Row": "rows",
    "Rows": "rows",
    "Shaped": "shapes",
    "Subset": "examples",
    "TextConfig": "config",
    "TextExample": "examples",
    "Tokeniser": "tokenisers",
    "TokeniserConfig": "config",
    "Vectors": "vectors",
    "bucketed": "batches",
    "build_tokeniser": "tokenisers",
    "check_texts": "checks",
    "class_names": "labels",
    "collate": "batches",
    "count_labels": "labels",
    "encode": "encoded",
    "k_folds": "splits",
    "load_tokeniser": "tokenisers",
    "read_examples": "examples",
    "read_rows": "tables",
    "read_vectors": "vectors",
    "shortened_lengths": "batches",
    "stratified_order": "splits",
    "stratified_split": "splits",
}

__all__ = [
    "SHAPES",
    "Asked",
    "Batch",
    "EncodedTexts",
    "Examples",
    "Finding",
    "Row",
    "Rows",
    "Shaped",
    "Subset",
    "TextConfig",
    "TextExample",
    "Tokeniser",
    "TokeniserConfig",
    "Vectors",
    "bucketed",
    "build_tokeniser",
    "check_texts",
    "class_names",
    "collate",
    "count_labels",
    "encode",
    "k_folds",
    "load_tokeniser",
    "read_examples",
    "read_rows",
    "read_vectors",
    "shortened_lengths",
    "stratified_order",
    "stratified_split",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"elman.data.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
