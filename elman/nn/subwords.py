"""Words' vectors that share vectors of letter n-grams, so that rare words borrow from their kin."""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

import torch
from torch import Tensor, nn
from torch.nn import functional

LENGTHS = (3, 4, 5)


def letter_ngrams(piece: str) -> list[str]:
    """The n-grams of `LENGTHS` of "<piece>", without the whole; a single letter has none."""
    bounded = f"<{piece}>"
    return [
        bounded[start : start + length]
        for length in LENGTHS
        for start in range(len(bounded) - length + 1)
        if length < len(bounded)
    ]


class SubwordEmbedding(nn.Embedding):
    """`torch.nn.Embedding` whose vector of a piece is its own plus its n-grams' (fastText).

    Bojanowski et al. 2017: n-grams of the piece between "<" and ">" share `buckets` vectors by
    their hash. Their sum over the root of their number is added, so that it varies as much as one
    vector. Padding and pieces of one letter have their own vector alone.

    Args:
        pieces: piece -> number; the same ones must be given when weights are loaded.
        size: the number of pieces, with those that have no letters.
        width: of a vector.
        buckets: the number of vectors that the n-grams share.
        padding: the number that stands for no piece; its vector is 0.
    """

    first: Tensor  # (size + 1,): where a piece's n-grams begin in `bucket`
    bucket: Tensor  # (n-grams,): the row of `ngrams` of each
    scale: Tensor  # (size, 1): one over the root of the number of n-grams

    def __init__(
        self, pieces: Mapping[str, int], size: int, width: int, buckets: int, padding: int = 0
    ) -> None:
        super().__init__(size, width, padding_idx=padding)
        self.ngrams = nn.Parameter(torch.randn(buckets, width))
        found: list[list[str]] = [[] for _ in range(size)]
        for piece, number in pieces.items():
            found[number] = letter_ngrams(piece)
        counts = torch.tensor([len(grams) for grams in found])
        hashed = [crc32(gram.encode("utf-8", "replace")) for grams in found for gram in grams]
        places = torch.tensor(hashed, dtype=torch.int64) % buckets
        self.register_buffer("first", functional.pad(counts.cumsum(0), (1, 0)), persistent=False)
        self.register_buffer("bucket", places, persistent=False)
        scale = counts.clamp(min=1).rsqrt()[:, None]
        self.register_buffer("scale", scale, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """Numbers of any shape -> `(*shape, width)`; each piece of a batch is summed once."""
        pieces, places = input.unique(return_inverse=True)
        begin, end = self.first[pieces], self.first[pieces + 1]
        counts = end - begin
        bags = counts.cumsum(0) - counts
        inside = torch.arange(int(counts.sum()), device=counts.device)
        rows = self.bucket[torch.repeat_interleave(begin - bags, counts) + inside]
        sums = functional.embedding_bag(rows, self.ngrams, bags, mode="sum")
        return functional.embedding(places, super().forward(pieces) + sums * self.scale[pieces])
