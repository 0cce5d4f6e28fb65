"""Characters a second of a trained language model beside a step loop of torch.nn.LSTM.

    python benchmarks/generation.py RUN [--length 10000] [--threads 2]

The peer has the same sizes and draws in the same way: embedding, one call of nn.LSTM for each
layer, the sum of their outputs, a linear layer, a softmax, one draw. Both write the same number of
characters in turns; a figure is a median. Memory is that of the process, before and after.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from record import append
from torch import nn

import elman


class Plain(nn.Module):
    """The same model as a torch user writes it."""

    def __init__(self, vocabulary: int, size: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, size)
        widths = [size, *[hidden] * (depth - 1)]
        self.layers = nn.ModuleList(nn.LSTM(width, hidden) for width in widths)
        self.linear = nn.Linear(hidden, vocabulary)

    @torch.inference_mode()
    def generate(self, length: int) -> list[int]:
        """So many tokens, one after the other."""
        states: list[Any] = [None] * len(self.layers)
        token, written = torch.zeros(1, 1, dtype=torch.long), list[int]()
        for _ in range(length):
            y = self.embedding(token)
            outputs = []
            for place, layer in enumerate(self.layers):
                y, states[place] = layer(y, states[place])
                outputs.append(y)
            scores = self.linear(torch.stack(outputs).sum(0)[-1])
            token = torch.multinomial(scores.softmax(-1), 1)
            written.append(int(token))
        return written


def main() -> None:
    """Measures, prints and keeps the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--length", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    model: Any = elman.load(asked.run)
    network = model.network
    config = network.config
    size = network.embedding.embedding_dim
    plain = Plain(network.vocabulary, size, config.hidden, config.depth)
    part = asked.length // asked.rounds
    model.generate(length=50)
    plain.generate(50)
    times: dict[str, list[float]] = {"elman": [], "torch": []}
    for round_ in range(asked.rounds):
        start = time.perf_counter()
        plain.generate(part)
        times["torch"].append(part / (time.perf_counter() - start))
        start = time.perf_counter()
        count = sum(1 for _ in model.generate(length=part, stream=True, ends=False, seed=round_))
        times["elman"].append(count / (time.perf_counter() - start))
    before = _megabytes()
    for number, _ in enumerate(model.generate(length=asked.length, stream=True, ends=False)):
        if number == asked.length // 10:
            before = _megabytes()
    after = _megabytes()
    ours, theirs = median(times["elman"]), median(times["torch"])
    print(f"elman {ours:.0f} tokens/s, torch {theirs:.0f} tokens/s: {ours / theirs:.1f} times")
    print(f"memory after a tenth {before:.1f} MB, at the end of {asked.length}: {after:.1f} MB")
    append("generation", {"threads": asked.threads, "length": asked.length, "elman": ours,
                          "torch": theirs, "ratio": ours / theirs, "memory_mb": [before, after],
                          "hidden": config.hidden, "depth": config.depth})  # fmt: skip


def _megabytes() -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


if __name__ == "__main__":
    main()
