"""The classifier of the tutorials in plain torch: how long an epoch takes, and its losses.

    python benchmarks/tutorial.py DATA.csv.xz VECTORS.txt.xz [--layer elman] [--batches 60]

25 000 words with vectors, two bidirectional LSTM layers of 256, dropout 0.5, packed and sorted
batches of 64, Adam, binary cross-entropy on logits: the model of `--preset bilstm-glove`, written
as the tutorials write it. `--layer elman` puts `elman.nn.LSTM` in the place of `torch.nn.LSTM`, and
nothing else; `--batches` measures so many and says what an epoch would take, by real tokens.
"""

from __future__ import annotations

import argparse
import csv
import io
import lzma
import random
import re
import time
from collections import Counter
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from record import append
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

import elman.nn

WORDS = 25_000
ROWS = 64
HIDDEN = 256


class Tutorial(nn.Module):
    """Embedding, two bidirectional layers, the last states, one logit."""

    def __init__(self, vectors: Tensor, layer: str) -> None:
        super().__init__()
        kind: Any = elman.nn.LSTM if layer == "elman" else nn.LSTM
        self.embedding = nn.Embedding.from_pretrained(vectors, freeze=False, padding_idx=0)
        self.rnn = kind(vectors.shape[1], HIDDEN, num_layers=2, bidirectional=True, dropout=0.5)
        self.linear = nn.Linear(2 * HIDDEN, 1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, text: Tensor, lengths: Tensor) -> Tensor:
        """`(T, B)` words, lengths sorted -> `(B,)` logits."""
        packed = pack_padded_sequence(self.dropout(self.embedding(text)), lengths)
        _, (hidden, _) = self.rnn(packed)
        both = torch.cat([hidden[-2], hidden[-1]], dim=1)
        return self.linear(self.dropout(both)).squeeze(1)


def main() -> None:
    """Trains, prints losses, and appends what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("vectors")
    parser.add_argument("--layer", choices=["torch", "elman"], default="torch")
    parser.add_argument("--batches", type=int, default=0, help="0: the whole epoch")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    random.seed(asked.seed)
    torch.manual_seed(asked.seed)
    texts, labels = read(asked.data)
    words = Counter(word for text in texts for word in text)
    index = {word: k + 2 for k, (word, _) in enumerate(words.most_common(WORDS))}
    model = Tutorial(vectors_for(index, asked.vectors), asked.layer)
    optimizer = torch.optim.Adam(model.parameters())
    ids = [torch.tensor([index.get(word, 1) for word in text] or [1]) for text in texts]
    batches = sorted_batches([len(row) for row in ids])
    total = sum(len(row) for row in ids)
    tokens, losses, seconds = 0, list[float](), 0.0
    for number, rows in enumerate(batches[: asked.batches or None]):
        rows = sorted(rows, key=lambda row: -len(ids[row]))
        text = pad_sequence([ids[row] for row in rows])
        lengths = torch.tensor([len(ids[row]) for row in rows])
        target = torch.tensor([labels[row] for row in rows])
        start = time.perf_counter()
        optimizer.zero_grad()
        logits = model(text, lengths)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, target)
        loss.backward()
        optimizer.step()
        if number:  # the first one warms up
            seconds += time.perf_counter() - start
            tokens += int(lengths.sum())
        losses.append(loss.item())
        if number % 4 == 3:
            print(f"batch {number + 1}: loss {mean(losses[-20:]):.4f}, "
                  f"{tokens / seconds:.0f} tokens/s", flush=True)  # fmt: skip
    epoch = total / (tokens / seconds)
    print(
        f"{asked.layer}: {tokens / seconds:.0f} tokens/s, an epoch takes {epoch / 60:.1f} minutes"
    )
    append(
        "tutorial",
        {"layer": asked.layer, "batches": len(losses), "threads": torch.get_num_threads(),
         "tokens_per_second": tokens / seconds, "epoch_seconds": epoch,
         "loss_by_20": [mean(losses[k : k + 20]) for k in range(0, len(losses), 20)],
         "first_losses": losses[:20]},
    )  # fmt: skip


def read(path: str) -> tuple[list[list[str]], list[float]]:
    """Words and labels of a CSV file with the columns text and label."""
    rows = list(csv.DictReader(io.StringIO(_text(path))))
    random.shuffle(rows)
    positive = max(row["label"] for row in rows)
    found = [re.findall(r"[a-z0-9']+|[^\sa-z0-9']", row["text"].lower()) for row in rows]
    return found, [float(row["label"] == positive) for row in rows]


def _text(path: str) -> str:
    content = Path(path).read_bytes()
    return (lzma.decompress(content) if path.endswith(".xz") else content).decode("utf-8")


def vectors_for(index: dict[str, int], path: str) -> Tensor:
    """A vector for every word: the file's, or a small random one."""
    lines = (line.rstrip().split(" ") for line in _text(path).splitlines())
    given = {word: list(map(float, rest)) for word, *rest in lines if word in index}
    size = len(next(iter(given.values())))
    vectors = 0.1 * torch.randn(len(index) + 2, size)
    vectors[0] = 0
    for word, value in given.items():
        vectors[index[word]] = torch.tensor(value)
    return vectors


def sorted_batches(lengths: list[int]) -> list[list[int]]:
    """Rows of like length together, as torchtext's BucketIterator did it; batches shuffled."""
    order = sorted(range(len(lengths)), key=lambda row: (lengths[row], random.random()))
    batches = [order[k : k + ROWS] for k in range(0, len(order), ROWS)]
    random.shuffle(batches)
    return batches


if __name__ == "__main__":
    main()
