"""The tables of the README, from what the benchmarks have kept in `results/`.

    python benchmarks/tables.py [--chinese]

Of each case the newest figures count, those with memory that is kept ("fair") where there are both.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

from record import RESULTS, table

from elman.diagnostics import speed
from elman.diagnostics.speed import Ratio

PEERS = {
    ("padded", "torch"): "torch.nn",
    ("ragged", "torch"): "torch.nn on a PackedSequence",
    ("bfloat16", "torch"): "torch.nn in float32",
    ("bfloat16", "torch autocast"): "torch.nn in bfloat16",
    ("custom", "loop"): "a loop in torch",
    ("custom", "parallel scan"): "a parallel scan in torch",
    ("compiled", "torch.compile"): "torch.compile of a loop",
    ("step", "torch"): "torch.nn.LSTM or GRU",
    ("step", "torch cell"): "torch.nn.LSTMCell or GRUCell",
    ("step", "onnxruntime"): "onnxruntime",
    ("padded", "onnxruntime"): "onnxruntime",
}
PARTS = {"padded": ", padded", "ragged": ", ragged", "step": ", one step of one row"}
PARTS |= {"bfloat16": ", padded, in bfloat16"}
CELLS, SCANS = "cells of one's own", "minGRU, RG-LRU, 4096 steps"
SETS = {"imdb": "IMDB", "trec": "TREC, 6 classes", "trec50": "TREC, 50 classes"}
SETS |= {"snips": "Snips intents", "waimai": "waimai (Chinese)"}
TEXTS = {
    "shakespeare": ("tiny Shakespeare, nats a character", "nats_per_character"),
    "ptb": ("Penn Treebank, perplexity", "perplexity"),
    "tang": ("Tang poems, nats a character", "nats_per_character"),
}
BESIDE = {"nats_per_character": ("dynamic", "floor")}
BESIDE |= {"perplexity": ("dynamic_perplexity", "floor_perplexity")}

CHINESE = {
    "layer": "网络层", "beside": "对照", "forward": "前向", "forward and backward": "前向加反向",
    "set": "数据集", "floor": "基线", "minutes": "分钟", "seeds": "种子数",
    CELLS: "自己写的单元", SCANS: "minGRU、RG-LRU，4096 步",
    "a loop in torch": "torch 循环", "a parallel scan in torch": "torch 并行扫描",
    "torch.compile of a loop": "torch.compile 编译的循环",
    "torch.nn on a PackedSequence": "torch.nn（PackedSequence）",
    "torch.nn in float32": "torch.nn（float32）", "torch.nn in bfloat16": "torch.nn（bfloat16）",
    "torch.nn.LSTM or GRU": "torch.nn.LSTM 或 GRU",
    "torch.nn.LSTMCell or GRUCell": "torch.nn.LSTMCell 或 GRUCell",
    "TREC, 6 classes": "TREC，6 类", "TREC, 50 classes": "TREC，50 类",
    "Snips intents": "Snips 意图", "waimai (Chinese)": "外卖评论",
    "text": "文本", "adapting": "边读边学", "n-grams": "n 元模型",
    "tiny Shakespeare, nats a character": "小莎士比亚，奈特每字符",
    "Penn Treebank, perplexity": "Penn Treebank，困惑度",
    "Tang poems, nats a character": "唐诗，奈特每字",
    "labels": "标注数", "from scratch": "从零训练", "with a language model": "先学语言模型",
}  # fmt: skip
PIECES = {", padded": "，等长", ", ragged": "，长短不一", ", one step of one row": "，单行单步"}
PIECES |= {", 8 bits": "，8 位", ", in bfloat16": "，bfloat16"}


def main() -> None:
    """Prints the tables."""
    found = (
        speeds(RESULTS / "cpu.jsonl"),
        accuracies(RESULTS / "classification.jsonl"),
        languages(RESULTS / "language.jsonl"),
        transfers(RESULTS / "transfer.jsonl", RESULTS / "classification.jsonl"),
    )
    print("\n\n".join(map(chinese, found) if "--chinese" in sys.argv else found))


def chinese(text: str) -> str:
    """A table in Chinese."""
    return "\n".join(
        "| " + " | ".join(map(_said, line.strip("| ").split(" | "))) + " |"
        for line in text.replace("|  |", "| . |").splitlines()
    ).replace("| . |", "|  |")


def _said(cell: str) -> str:
    for piece, said in PIECES.items():
        cell = cell.replace(piece, said)
    return re.sub(r"^(\S+) \((\S+) to (\S+)\)$", r"\1（\2 至 \3）", CHINESE.get(cell, cell))


def speeds(path: Path) -> str:
    """Peer time / elman time by kind of work: geometric mean, and the smallest and largest."""
    groups: dict[tuple[str, str, str], dict[str, list[Ratio]]] = {}
    for (part, name, _, peer), item in _newest(path).items():
        way = item.case.removeprefix(name).strip()
        kind = item.case.split()[0]
        if part not in PARTS:
            kind = SCANS if "4096" in item.case else CELLS
        groups.setdefault((part, kind, peer), {}).setdefault(way, []).append(item)
    rows = []
    order = [*PARTS, "custom", "compiled"]
    for (part, kind, peer), ways in sorted(groups.items(), key=lambda g: order.index(g[0][0])):
        for ahead, both in (("f", "f+b"), ("step", None), ("int8 step", None)):
            if ahead in ways:
                named = kind + PARTS.get(part, "") + (", 8 bits" if "int8" in ahead else "")
                figures = [_spread(ways[way]) if way in ways else "" for way in (ahead, both)]
                rows.append([named, PEERS[part, peer], *figures])
    return table(["layer", "beside", "forward", "forward and backward"], rows)


def _spread(found: list[Ratio]) -> str:
    least, most = (pick(item.ratio for item in found) for pick in (min, max))
    return f"{speed.geometric_mean(found):.1f} ({least:.1f} to {most:.1f})"


def accuracies(path: Path) -> str:
    """Mean test accuracy over the seeds, the network's alone, and the floor's."""
    sets = _newest_of_seeds(path)
    rows = []
    for name, title in SETS.items():
        if name in sets:
            found = sets[name]
            figures = [_percent(fmean(one[key] for one in found)) for key in ("accuracy", "floor")]
            rows.append([title, *figures, _minutes(found), str(len(found))])
    return table(["set", "elman", "floor", "minutes", "seeds"], rows)


def languages(path: Path) -> str:
    """Mean loss over the seeds, that of the model which goes on learning, and the n-grams'."""
    sets = _newest_of_seeds(path)
    rows = []
    for name, (title, measure) in TEXTS.items():
        if name in sets:
            found = sets[name]
            figures = [_loss([one[key] for one in found]) for key in (measure, *BESIDE[measure])]
            rows.append([title, *figures, _minutes(found), str(len(found))])
    return table(["text", "elman", "adapting", "n-grams", "minutes", "seeds"], rows)


def _loss(found: list[float | None]) -> str:
    known = [value for value in found if value is not None]
    return f"{fmean(known):#.4g}" if known else ""


def transfers(path: Path, alone: Path) -> str:
    """Accuracy on IMDB from scratch and with a language model, with few labels and with all."""
    rows = []
    kept = _lines(path)
    for one in [line for line in kept if line["what"] == "shots"][-1:]:
        means = [fmean(one[key]) for key in ("scratch", "transfer", "floor")]
        rows.append([str(one["labels"]), *map(_percent, means), _minutes([one])])
    for one in [line for line in kept if line["what"] == "full"][-1:]:
        scratch = fmean(line["accuracy"] for line in _newest_of_seeds(alone)["imdb"])
        figures = map(_percent, (scratch, one["accuracy"], one["floor"]))
        rows.append(["25000", *figures, _minutes([one])])
    return table(["labels", "from scratch", "with a language model", "floor", "minutes"], rows)


def _newest_of_seeds(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The last line of each seed, by set."""
    sets: dict[str, dict[int, dict[str, Any]]] = {}
    for line in _lines(path):
        sets.setdefault(line["set"], {})[line["seed"]] = line
    return {name: list(seeds.values()) for name, seeds in sets.items()}


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _minutes(found: list[dict[str, Any]]) -> str:
    return f"{fmean(one['seconds'] for one in found) / 60:.1f}"


def _newest(path: Path) -> dict[tuple[str, str, str, str], Ratio]:
    """The last ratio of each part, name, case and peer; a peer may be missing from a later run."""
    found: dict[tuple[str, str, str, str], Ratio] = {}
    fair: set[tuple[str, str, str, str]] = set()
    for line in _lines(path):
        kept = line.get("malloc") == "fair"
        for item in speed.ratios(line["name"], line.get("milliseconds", {})):
            key = (line["part"], line["name"], item.case, item.peer)
            if key[::3] in PEERS and (kept or key not in fair):
                found[key] = item
                if kept:
                    fair.add(key)
    return found


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
