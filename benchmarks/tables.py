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
}  # fmt: skip
PIECES = {", padded": "，等长", ", ragged": "，长短不一", ", one step of one row": "，单行单步"}
PIECES |= {", 8 bits": "，8 位", ", in bfloat16": "，bfloat16"}


def main() -> None:
    """Prints both tables."""
    found = speeds(RESULTS / "cpu.jsonl"), accuracies(RESULTS / "classification.jsonl")
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
    sets: dict[str, dict[int, dict[str, Any]]] = {}
    for line in _lines(path):
        sets.setdefault(line["set"], {})[line["seed"]] = line
    rows = []
    for name, title in SETS.items():
        if name in sets:
            found = list(sets[name].values())
            means = [fmean(one[key] for one in found) for key in ("accuracy", "floor")]
            minutes = fmean(one["seconds"] for one in found) / 60
            figures = [f"{100 * value:.1f} %" for value in means]
            rows.append([title, *figures, f"{minutes:.1f}", str(len(found))])
    return table(["set", "elman", "floor", "minutes", "seeds"], rows)


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
