"""What is wrong with a set of texts, said before anybody trains on it."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from hashlib import blake2b
from typing import Literal

from elman.data.examples import Examples, TextExample
from elman.data.rows import Fault, Faults

Severity = Literal["error", "warning", "info"]
_EXAMPLES = 5
_SHOWN = 60  # characters of a text that an example shows
_CONTROLS = "{n} text(s) hold control characters (often Windows marks read as latin-1)"
_MOJIBAKE = re.compile("Ã[\u0080-\u00bf\u0192\u2013-\u2122]|â€|Â[\u00a0-\u00bf]|ï»¿|ï¿½|ðŸ")
_HTML = re.compile(
    r"</?(?:br|p|div|span|a|b|i|em|strong|td|tr|li|ul|h[1-6]|img)\b[^<>]*>"
    r"|&(?:amp|lt|gt|quot|nbsp|#\d+);",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
        severity: "error" (training would refuse or mislead), "warning" (look at it), "info".
        kind: a short name, as "duplicates-across".
        message: a sentence with the count.
        count: rows (or labels) concerned.
        examples: up to five places, with what stands there.
    """

    severity: Severity
    kind: str
    message: str
    count: int = 0
    examples: tuple[str, ...] = ()


@dataclass
class _Heap:
    """Counts places and keeps the first few."""

    count: int = 0
    examples: list[str] = field(default_factory=list[str])

    def add(self, example: Callable[[], str] | str) -> None:
        self.count += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(example if isinstance(example, str) else example())

    def finding(self, severity: Severity, kind: str, message: str) -> Finding:
        text = message.format(n=f"{self.count:,}")
        return Finding(severity, kind, text, self.count, tuple(self.examples))


def _show(text: str) -> str:
    flat = " ".join(text.split())
    return f'"{flat[:_SHOWN]}{"..." if len(flat) > _SHOWN else ""}"'


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _key(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()


@dataclass
class _Part:
    """What one pass over a part gathers; texts themselves are not kept."""

    name: str
    rows: int = 0
    labels: Counter[str] = field(default_factory=Counter[str])
    lengths: list[int] = field(default_factory=list[int])
    where: dict[bytes, tuple[str, bytes, tuple[str, ...]]] = field(
        default_factory=dict[bytes, "tuple[str, bytes, tuple[str, ...]]"]
    )
    empty: _Heap = field(default_factory=_Heap)
    missing: _Heap = field(default_factory=_Heap)
    many: _Heap = field(default_factory=_Heap)
    replaced: _Heap = field(default_factory=_Heap)
    mojibake: _Heap = field(default_factory=_Heap)
    controls: _Heap = field(default_factory=_Heap)
    html: _Heap = field(default_factory=_Heap)
    duplicate: _Heap = field(default_factory=_Heap)
    near: _Heap = field(default_factory=_Heap)
    conflict: _Heap = field(default_factory=_Heap)
    holds_label: Counter[str] = field(default_factory=Counter[str])
    several: bool = False
    faults: Faults | None = None

    def add(self, example: TextExample) -> None:
        text, place = example.text, f"{self.prefix()}{example.where}"
        self.rows += 1
        self.labels.update(example.labels)
        if not example.labels:
            self.missing.add(place)
        if len(example.labels) > 1:
            self.many.add(lambda: f"{place}: {', '.join(example.labels)}")
        if not text.strip():
            self.empty.add(place)
            return
        self.lengths.append(len(text))
        self._look(text, place)
        self._compare(example, place)
        low = text.casefold()
        self.holds_label.update(
            label for label in example.labels if len(label) > 2 and label.casefold() in low
        )

    def prefix(self) -> str:
        """What stands before a place where there are several parts."""
        return f"{self.name}: " if self.name else ""

    def _look(self, text: str, place: str) -> None:
        def shown(found: re.Match[str] | int) -> Callable[[], str]:
            at = found if isinstance(found, int) else found.start()
            return lambda: f"{place}: {_show(text[max(0, at - 20) : at + 40])}"

        if not text.isascii():
            if "\ufffd" in text:
                self.replaced.add(shown(text.index("\ufffd")))
            broken = _MOJIBAKE.search(text)
            if broken:
                self.mojibake.add(shown(broken))
        if not text.isprintable():
            odd = next((i for i, char in enumerate(text) if _is_control(char)), None)
            if odd is not None:
                self.controls.add(shown(odd))
        if "<" in text or "&" in text:
            tag = _HTML.search(text)
            if tag:
                self.html.add(shown(tag))

    def _compare(self, example: TextExample, place: str) -> None:
        exact, key = _key(example.text), _key(_folded(example.text))
        earlier = self.where.get(key)
        if earlier is None:
            self.where[key] = (place, exact, example.labels)
            return
        other, other_exact, labels = earlier

        def pair() -> str:
            return f"{place} = {other}: {_show(example.text)}"

        if example.labels and labels and set(labels) != set(example.labels):
            was, now = ", ".join(labels), ", ".join(example.labels)
            self.conflict.add(lambda: f"{pair()} ({was} / {now})")
        (self.duplicate if exact == other_exact else self.near).add(pair)


def _is_control(char: str) -> bool:
    return char not in "\t\n\r\x0b\x0c\u200d" and unicodedata.category(char) == "Cc"


def check_texts(
    train: Iterable[TextExample],
    valid: Iterable[TextExample] | None = None,
    test: Iterable[TextExample] | None = None,
    *,
    several: bool | None = None,
) -> list[Finding]:
    """What is wrong with the examples: errors first, then warnings, then what is good to know.

    Looks for empty texts, missing labels, equal and nearly equal texts (case and blanks aside) in
    a part and across parts, equal texts with different labels, labels that differ only in
    spelling, odd lengths, broken encodings, HTML, few or very uneven classes, classes that a part
    lacks, and texts that hold their own label. Each part is read once, in a stream; 12-byte digests
    of its texts are kept.

    Args:
        train, valid, test: examples; read them with `faults=Faults()`, or with
            `missing_labels="keep"`, so that bad rows and rows without a label are found rather
            than refused.
        several: whether a text may have several labels, or none; None leaves it to `train`.

    Raises:
        DataError: a file cannot be read.
    """
    named = (("train", train), ("valid", valid), ("test", test))
    one = valid is None and test is None
    parts: list[_Part] = []
    for name, examples in named:
        if examples is None:
            continue
        part = _Part("" if one else name)
        for example in examples:
            part.add(example)
        if isinstance(examples, Examples):
            part.faults = examples.faults
            if several is None:
                several = examples.several_labels
        part.several = bool(several)
        parts.append(part)
    findings = [finding for part in parts for finding in _of_part(part)]
    findings += _of_labels(parts)
    findings += [
        finding
        for place, first in enumerate(parts)
        for second in parts[place + 1 :]
        for finding in _across(first, second)
    ]
    rank = {"error": 0, "warning": 1, "info": 2}
    return sorted(findings, key=lambda finding: rank[finding.severity])


def _of_part(part: _Part) -> Iterator[Finding]:
    name = f" in {part.name}" if part.name else ""
    yield from _of_faults(part, name)
    table: tuple[tuple[_Heap, Severity, str, str], ...] = (
        *_of_label_counts(part),
        (part.empty, "warning", "empty-text", "{n} empty text(s)"),
        (part.conflict, "warning", "conflicting-labels", "{n} text(s) recur with another label"),
        (part.duplicate, "warning", "duplicates-within", "{n} text(s) stand there more than once"),
        (part.near, "info", "near-duplicates-within", "{n} text(s) recur but for case and blanks"),
        (part.replaced, "warning", "broken-encoding", "{n} text(s) hold the character U+FFFD"),
        (part.mojibake, "warning", "mojibake", "{n} text(s) look decoded twice (Ã©, â€™)"),
        (part.controls, "warning", "control-characters", _CONTROLS),
        (part.html, "info", "html", "{n} text(s) hold HTML"),
    )
    for heap, severity, kind, message in table:
        if heap.count:
            yield heap.finding(severity, kind, f"{message}{name}.")
    yield from _of_lengths(part, name)


def _of_faults(part: _Part, name: str) -> Iterator[Finding]:
    kinds: list[tuple[Fault, str, str]] = [
        ("row", "unreadable-rows", "{n} row(s){name} cannot be read"),
        ("encoding", "undecodable", "{n} stretch(es) of bytes{name} do not fit the encoding"),
    ]
    if part.several:  # where one label is wanted, all rows without one are told of together
        kinds.append(("label", "missing-label", "{n} row(s){name} without a label"))
    for fault, kind, message in kinds:
        count = part.faults.counts.get(fault, 0) if part.faults else 0
        if part.faults and count:
            told = message.format(n=f"{count:,}", name=name)
            examples = tuple(
                f"{part.prefix()}{error.where}: {error.message}"
                for error in part.faults.first[fault]
            )
            yield Finding("error", kind, f"{told}.", count, examples)


def _of_label_counts(part: _Part) -> tuple[tuple[_Heap, Severity, str, str], ...]:
    if part.several:
        known = part.faults.counts.get("label", 0) if part.faults else 0
        none = _Heap(part.missing.count - known, part.missing.examples)
        return ((none, "info", "no-label", "{n} text(s) have no label"),)
    return (
        (part.missing, "error", "missing-label", "{n} row(s) without a label"),
        (part.many, "error", "several-labels", "{n} row(s) with several labels, wanted one"),
    )


def _of_lengths(part: _Part, name: str) -> Iterator[Finding]:
    if len(part.lengths) < 20:
        return
    ordered = sorted(part.lengths)
    median = ordered[len(ordered) // 2]
    p99 = ordered[int(0.99 * (len(ordered) - 1))]
    short = sum(length * 50 < median for length in ordered)
    if short:
        yield Finding(
            "info", "short-texts", f"{short:,} text(s){name} are shorter than a 50th of the median "
            f"({median:,} characters).", short,
        )  # fmt: skip
    limit = max(20 * median, 3 * p99, 2000)
    long = sum(length > limit for length in ordered)
    if long:
        yield Finding(
            "warning", "long-texts", f"{long:,} text(s){name} are longer than {limit:,} characters "
            f"(median {median:,}, longest {ordered[-1]:,}); perhaps a quote never closes.", long,
        )  # fmt: skip


def _of_labels(parts: list[_Part]) -> Iterator[Finding]:
    train = parts[0].labels
    total = sum(train.values())
    if len(train) == 1:
        yield Finding(
            "error", "one-class", f'every row has the label "{next(iter(train))}".', total
        )
    elif not train:
        yield Finding("error", "no-labels", "no row has a label.", parts[0].rows)
    yield from _of_spelling(sum((part.labels for part in parts), Counter[str]()))
    tiny = [f'"{label}": {count}' for label, count in train.items() if count < 5]
    if tiny and len(train) > 1:
        message = f"{len(tiny)} class(es) have fewer than 5 examples."
        yield Finding("warning", "tiny-classes", message, len(tiny), tuple(tiny[:_EXAMPLES]))
    if len(train) > 1:
        (most, many), (least, few) = train.most_common()[0], train.most_common()[-1]
        if many > 10 * few:
            yield Finding(
                "info", "uneven-classes", f'"{most}" has {many:,} examples, "{least}" {few:,}: '
                "look at macro F1, and consider class weights.", many // max(few, 1),
            )  # fmt: skip
    for part in parts[1:]:
        unknown = sorted(set(part.labels) - set(train))
        if unknown:
            shown = tuple(f'"{label}": {part.labels[label]}' for label in unknown[:_EXAMPLES])
            yield Finding(
                "error", "unknown-labels",
                f"{len(unknown)} label(s) of {part.name} are not in train.", len(unknown), shown,
            )  # fmt: skip
    yield from _of_leaks(parts[0])


def _of_leaks(part: _Part) -> Iterator[Finding]:
    leaking = [
        f'"{label}" stands in {held} of its {part.labels[label]} texts'
        for label, held in part.holds_label.items()
        if part.labels[label] >= 10 and held > 0.9 * part.labels[label]
    ]
    if leaking:
        yield Finding(
            "warning", "label-in-text", f"the text of {len(leaking)} class(es) holds its own "
            "label: the result would say little.", len(leaking), tuple(leaking[:_EXAMPLES]),
        )  # fmt: skip


def _plain(label: str) -> str:
    return re.sub(r"[\s_\-./]+", " ", label).strip().casefold()


def _of_spelling(labels: Counter[str]) -> Iterator[Finding]:
    """Labels that are one label in two spellings, and rare ones a letter from a common one."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for label in labels:
        groups[_plain(label)].append(label)
    same = [group for group in groups.values() if len(group) > 1]
    if same:
        shown = tuple(" / ".join(f'"{x}" ({labels[x]})' for x in sorted(group)) for group in same)
        yield Finding(
            "warning", "label-spelling", f"{len(same)} label(s) occur in several spellings.",
            len(same), shown[:_EXAMPLES],
        )  # fmt: skip
    if len(groups) > 2000:
        return
    counts = {plain: sum(labels[label] for label in group) for plain, group in groups.items()}
    likely: list[str] = []
    for plain, count in counts.items():
        if len(plain) < 4 or any(char.isdigit() for char in plain):
            continue
        others = [other for other, many in counts.items() if many >= 5 * count and other != plain]
        close = get_close_matches(plain, others, n=1, cutoff=0.85)
        if close:
            likely.append(f'"{groups[plain][0]}" ({count}): "{groups[close[0]][0]}"?')
    if likely:
        yield Finding(
            "warning", "label-typos", f"{len(likely)} rare label(s) look like a misspelt one.",
            len(likely), tuple(likely[:_EXAMPLES]),
        )  # fmt: skip


def _across(first: _Part, second: _Part) -> Iterator[Finding]:
    exact, near = _Heap(), _Heap()
    for key, (place, digest, _) in second.where.items():
        known = first.where.get(key)
        if known is not None:
            (exact if known[1] == digest else near).add(f"{place} = {known[0]}")
    pair = f"both in {first.name} and in {second.name}"
    if exact.count:
        yield exact.finding("warning", "duplicates-across", f"{{n}} text(s) stand {pair}.")
    if near.count:
        message = f"{{n}} text(s) stand {pair} but for case and blanks."
        yield near.finding("warning", "near-duplicates-across", message)
