"""What training on some files would stop or stumble at, with the settings that it would have."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

from elman.data import Examples, Finding, check_texts, read_examples
from elman.data.rows import Faults
from elman.tasks.classify_config import ClassifyConfig, configured
from elman.tasks.texts import reading_options

Path = str | PathLike[str]


def check_files(
    train: Path,
    valid: Path | None = None,
    test: Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], list[Finding]]:
    """What was found in the training file, and what is wrong with the files.

    Rows that cannot be read are findings; the others are looked at all the same.

    Args:
        train, valid, test: files or folders of labelled texts.
        settings: of a classifier, as for `Classifier`.

    Raises:
        DataError: a file cannot be read at all, or lacks a column. ConfigError: a bad setting.
    """
    config = configured("default", settings, {})
    first = _examples(train, config, {})
    columns = {name: first.facts.get(name) for name in ("text", "label")}
    others = [None if path is None else _examples(path, config, columns) for path in (valid, test)]
    findings = check_texts(first, *others, several=config.data.several_labels)
    return first.facts, findings


def _examples(path: Path, config: ClassifyConfig, columns: Mapping[str, str | None]) -> Examples:
    return read_examples(path, **reading_options(config.data, columns), faults=Faults())
