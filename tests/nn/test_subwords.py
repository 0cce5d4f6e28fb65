"""The vectors of words from letter n-grams, beside a dictionary of lists."""

from __future__ import annotations

from zlib import crc32

import torch
from torch.nn import functional

from elman.nn.subwords import SubwordEmbedding, letter_ngrams

PIECES = {"the": 2, "x": 3, "thee": 4, "外卖": 5}


def test_ngrams_are_those_of_the_bounded_word() -> None:
    assert letter_ngrams("the") == ["<th", "the", "he>", "<the", "the>"]
    assert letter_ngrams("x") == []
    assert letter_ngrams("外卖") == ["<外卖", "外卖>"]


def test_values_and_gradients_are_sums_by_hand() -> None:
    torch.manual_seed(0)
    layer = SubwordEmbedding(PIECES, 6, 4, 7).double()
    ids = torch.tensor([[2, 0, 4], [3, 1, 2]])
    wanted = []
    for number in ids.flatten().tolist():
        row = layer.weight[number]
        grams = [g for piece, n in PIECES.items() if n == number for g in letter_ngrams(piece)]
        for gram in grams:
            row = row + layer.ngrams[crc32(gram.encode()) % 7] / len(grams) ** 0.5
        wanted.append(row)
    expected = torch.stack(wanted).reshape(2, 3, 4)
    got = layer(ids)
    assert torch.allclose(got, expected, atol=1e-12)
    pull = torch.randn_like(got)
    one = torch.autograd.grad((got * pull).sum(), [layer.weight, layer.ngrams])
    two = torch.autograd.grad((expected * pull).sum(), [layer.weight, layer.ngrams])
    two = (two[0].clone().index_fill_(0, torch.tensor([0]), 0.0), two[1])  # padding learns nothing
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(one, two, strict=True))


def test_letters_alone_have_no_ngrams() -> None:
    layer = SubwordEmbedding({"a": 2, "b": 3}, 4, 3, 5)
    ids = torch.tensor([2, 3, 0])
    assert torch.equal(layer(ids), functional.embedding(ids, layer.weight))


def test_weights_alone_are_kept() -> None:
    layer = SubwordEmbedding(PIECES, 6, 4, 7)
    assert set(layer.state_dict()) == {"weight", "ngrams"}
    again = SubwordEmbedding(PIECES, 6, 4, 7)
    again.load_state_dict(layer.state_dict())
    ids = torch.tensor([2, 3, 4, 5])
    assert torch.equal(again(ids), layer(ids))
