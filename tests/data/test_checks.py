"""Each fault planted in a clean set is found, named and placed; a clean set has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from elman.data import Finding, TextExample, check_texts, read_examples
from elman.data.rows import Faults

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]


def clean(count: int = 100, name: str = "train.csv") -> list[TextExample]:
    return [
        TextExample(
            f"{name[:2]} {WORDS[n % 10]} {WORDS[n // 10 % 10]} number {n} of many words here",
            ("positive" if n % 2 else "negative",),
            f"{name}, row {n + 2}",
        )
        for n in range(count)
    ]


def found(findings: list[Finding], kind: str) -> Finding:
    return next(finding for finding in findings if finding.kind == kind)


def extra(text: str, label: str = "positive") -> TextExample:
    return TextExample(text, (label,) if label else (), "train.csv, row 999")


def test_a_clean_set_has_no_findings() -> None:
    assert check_texts(clean(), clean(40, "valid.csv"), clean(40, "test.csv")) == []


@pytest.mark.parametrize(
    ("example", "kind", "severity"),
    [
        (extra(""), "empty-text", "warning"),
        (extra(" \n "), "empty-text", "warning"),
        (extra("new", ""), "missing-label", "error"),
        (extra(clean()[7].text), "duplicates-within", "warning"),
        (extra(clean()[7].text.upper()), "near-duplicates-within", "info"),
        (extra(clean()[7].text, "negative"), "conflicting-labels", "warning"),
        (extra("a broken \ufffd one"), "broken-encoding", "warning"),
        (extra("cafÃ© au lait"), "mojibake", "warning"),
        (extra("donâ€™t"), "mojibake", "warning"),
        (extra("dash \x96 here"), "control-characters", "warning"),
        (extra("some <br /> break"), "html", "info"),
        (extra("fish &amp; chips"), "html", "info"),
        (extra("word " * 2000), "long-texts", "warning"),
        (extra("new text", "Positive"), "label-spelling", "warning"),
        (extra("new text", "positve"), "label-typos", "warning"),
        (extra("new text", "other"), "tiny-classes", "warning"),
    ],
)
def test_a_planted_fault_is_found(example: TextExample, kind: str, severity: str) -> None:
    finding = found(check_texts([*clean(), example]), kind)
    assert finding.severity == severity
    assert finding.count == 1
    if kind not in {"long-texts", "label-spelling", "label-typos", "tiny-classes"}:
        assert "row 999" in finding.examples[0]


def test_across_parts() -> None:
    train, test = clean(), clean(30, "test.csv")
    test += [TextExample(train[3].text, ("positive",), "test.csv, row 77")]
    test += [TextExample(train[4].text.title(), ("odd",), "test.csv, row 78")]
    findings = check_texts(train, None, test)
    assert (
        "test: test.csv, row 77 = train: train.csv, row 5"
        in found(findings, "duplicates-across").examples
    )
    assert found(findings, "near-duplicates-across").count == 1
    assert found(findings, "unknown-labels").severity == "error"
    assert findings[0].severity == "error"


def test_one_class_uneven_classes_and_leaks() -> None:
    one = [TextExample(row.text, ("same",), row.where) for row in clean()]
    assert found(check_texts(one), "one-class").severity == "error"
    uneven = [TextExample(f"t {n}", ("a" if n % 50 else "b",), "x") for n in range(500)]
    assert "macro F1" in found(check_texts(uneven), "uneven-classes").message
    leaky = [TextExample(f"{x.text} {x.labels[0]}", x.labels, x.where) for x in clean()]
    assert found(check_texts(leaky), "label-in-text").count == 2


def test_examples_are_few() -> None:
    findings = check_texts([*clean(), *[extra("")] * 50])
    finding = found(findings, "empty-text")
    assert finding.count == 50
    assert len(finding.examples) == 5


def test_no_label_and_many_labels_where_they_are_wanted() -> None:
    rows = [*clean(), extra("none", ""), TextExample("two", ("positive", "negative"), "row 1000")]
    assert found(check_texts(rows), "missing-label").severity == "error"
    assert found(check_texts(rows), "several-labels").examples == ("row 1000: positive, negative",)
    kinds = {finding.kind: finding.severity for finding in check_texts(rows, several=True)}
    assert kinds == {"no-label": "info"}


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.conll"])
def test_what_cannot_be_read_is_counted_anew_with_each_reading(tmp_path: Path, name: str) -> None:
    good = {
        "a.csv": "words %d,%d\n",
        "a.jsonl": '{"text": "words %d", "label": %d}\n',
        "a.conll": "# label = %d\nwords%d\tN\n\n",
    }[name]
    bad = {"a.csv": "1,2,3\n", "a.jsonl": "[]\n", "a.conll": "# label = 0\na\tN\nb\n\n"}[name]
    content = "text,label\n" if name == "a.csv" else ""
    content += "".join(good % (k, k % 2) for k in range(10)) + bad * 7
    (tmp_path / name).write_text(content)
    faults = Faults()
    examples = read_examples(tmp_path / name, text="text", label="label", faults=faults)
    for _ in range(2):
        assert len(list(examples)) == 10 + 7 * (name == "a.conll")
        assert faults.counts == {"row": 7}
        assert len(faults.first["row"]) == 5
    finding = found(check_texts(examples), "unreadable-rows")
    assert finding.count == 7 and name in finding.examples[0]
