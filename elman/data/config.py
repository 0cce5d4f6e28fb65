"""The settings of the data room, as they stand in a run's `config.yaml`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Level = Literal[
    "auto",
    "word",
    "blank",
    "prose",
    "char",
    "byte",
    "bpe",
    "unigram",
    "zh-char",
    "zh-word",
    "zh-prose",
]


class TokeniserConfig(BaseModel):
    """How text becomes numbers.

    Attributes:
        level: the pieces: words, whatever stands between blanks with line ends as pieces of their
            own ("blank": texts that were cut into words before), words and marks that can be
            written back as they were ("prose"), characters, bytes, BPE or unigram pieces, Chinese
            by character ("zh-char", other scripts by word) or by word ("zh-word", with line ends
            "zh-prose"); "auto" looks at the text.
        lowercase: fold capitals.
        strip_punctuation: drop punctuation.
        min_count: a piece seen less often in the training part is unknown.
        max_size: the largest vocabulary, the two reserved numbers included.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: Level = "auto"
    lowercase: bool = True
    strip_punctuation: bool = False
    min_count: int = Field(default=2, ge=1)
    max_size: int = Field(default=30_000, ge=3)


class TextConfig(BaseModel):
    """How a file of texts and labels is read; None means: find it.

    Attributes:
        text: the column of the text.
        label: the column of the label; several columns of 0 and 1, separated by commas, are
            several labels at once.
        format: csv, tsv, jsonl, json, parquet, arrow, fasttext, conll, lines or folder.
        delimiter: one character, or tab, comma, semicolon, bar.
        quoting: "quotes" (a quote is written twice), "backslash" or "none".
        header: whether the first row names the columns.
        encoding: a name that Python knows.
        encoding_errors: "strict", or "replace" for U+FFFD where a byte does not fit.
        label_separator: splits a label cell into several labels.
        several_labels: whether a text may have several labels, or none.
        missing_labels: "error", or "drop" the rows without a label.
        max_tokens: longer texts are cut to their first tokens.
        head_tail: longer texts keep so many first and so many last tokens.
        tokeniser: how text becomes numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str | None = None
    label: str | None = None
    format: str | None = None
    delimiter: str | None = None
    quoting: Literal["quotes", "backslash", "none"] | None = None
    header: bool | None = None
    encoding: str | None = None
    encoding_errors: Literal["strict", "replace"] = "strict"
    label_separator: str | None = None
    several_labels: bool | None = None
    missing_labels: Literal["error", "drop"] = "error"
    max_tokens: int | None = Field(default=None, ge=1)
    head_tail: tuple[int, int] | None = None
    tokeniser: TokeniserConfig = TokeniserConfig()
