"""Generation: stops, greedy draws under constraints, what is kept of a long text, dialogues."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from lm_models import TEXT

from elman.cells import find
from elman.data import TokeniserConfig, build_tokeniser
from elman.decoding import Constraints, Forbidden, LineStarts, Matching, Sampling, acrostic
from elman.errors import DataError
from elman.tasks import lm_generation
from elman.tasks.lm_config import LmConfig
from elman.tasks.lm_drawing import Drawing, Wanted
from elman.tasks.lm_generation import Chat, Reader, Token, generate, stopped
from elman.tasks.lm_network import LanguageNetwork
from elman.tasks.lm_text import Written, characters


def _tokeniser(level: str = "char", text: str = TEXT) -> Any:
    config = TokeniserConfig(level=level, lowercase=False, min_count=1, max_size=280)  # type: ignore[arg-type]
    return build_tokeniser([text], config)


def _network(size: int, **options: Any) -> LanguageNetwork:
    torch.manual_seed(0)
    config = LmConfig(model={"hidden": 4, "depth": 1, "embedding": 4, **options}).model
    return LanguageNetwork(config, find("gru"), size, tied=False)


def _cut(text: str, stops: tuple[str, ...]) -> str:
    """The text before the first stop, character by character."""
    for place in range(len(text)):
        if any(text.startswith(stop, place) for stop in stops):
            return text[:place]
    return text


@pytest.mark.parametrize("stops", [("b",), ("ab",), ("aab", "bb"), ("abab",), ("c",), ()])
def test_no_stop_is_shown_and_no_other_character_is_lost(stops: tuple[str, ...]) -> None:
    for word in itertools.product("ab", repeat=7):
        text = "".join(word)
        for sizes in ((1,) * 7, (2, 3, 2), (3, 0, 4), (7,), (1, 5, 1)):
            ends = list(itertools.accumulate(sizes))
            pieces = [text[end - size : end] for size, end in zip(sizes, ends, strict=True)]
            tokens = [Token(k, piece, -1.0) for k, piece in enumerate(pieces)]
            found = list(stopped(tokens, stops))
            shown = "".join(token.text for token in found)
            wanted = _cut(text, stops)
            # Two strings that overlap: the first one that is whole ends the text.
            assert shown == wanted or (len(stops) > 1 and wanted == shown[: len(wanted)])
            assert [token.id for token in found] == list(range(len(found)))


def test_a_stop_ends_the_stream_as_soon_as_it_is_whole() -> None:
    asked: list[int] = []

    def endless() -> Iterator[Token]:
        for number in itertools.count():
            asked.append(number)
            yield Token(number, "one. Two", -1.0)

    assert [str(token) for token in stopped(endless(), (". ",))] == ["one"]
    assert asked == [0]


@pytest.mark.parametrize("level", ["char", "bpe", "blank", "prose"])
def test_what_is_streamed_is_the_text(level: str) -> None:
    tokeniser = _tokeniser(level)
    model = _network(tokeniser.size)
    for seed in range(20):
        wanted = Wanted(60, stops=("t", "\n", "he c"), ends=False, seed=seed)
        whole = "".join(map(str, generate(model, tokeniser, (), Wanted(60, ends=False, seed=seed))))
        shown = "".join(map(str, generate(model, tokeniser, (), wanted)))
        assert shown == _cut(whole, ("t", "\n", "he c"))


def _draw(scores: list[float], sampling: Sampling, *, seed: int = 1, **wanted: Any) -> list[int]:
    """Three tokens of the same scores, over a, b, c, d at 2 to 5."""
    tokeniser = _tokeniser(text="aaaabbbccd")
    wish = Wanted(3, sampling, seed=seed, ends=False, **wanted)
    drawing = Drawing(wish, tokeniser, [], 0)
    found = []
    for _ in range(3):
        token, _log = drawing.next(np.array([0.0, 0.0, *scores]))
        drawing.add(token)
        found.append(token)
    return found


def test_greedy_under_constraints_takes_the_best_that_is_left() -> None:
    rules = Constraints([Forbidden(("a", "b"))])
    for seed in range(8):
        found = _draw([4, 3, 1.1, 1], Sampling(temperature=0), seed=seed, constraints=rules)
        assert found == [4, 4, 4]
        # The penalty holds for what is left, too: c, then d, then c, as both were penalised.
        found = _draw([4, 3, 1.1, 1], Sampling(temperature=0, repetition_penalty=2), seed=seed,
                      constraints=rules)  # fmt: skip
        assert found == [4, 5, 4]
    with pytest.raises(DataError, match="exclude every token"):
        _draw([4, 3, 2, 1], Sampling(temperature=0), constraints=Constraints([Matching("z")]))


def test_the_penalty_is_not_lost_when_top_k_is_used_up() -> None:
    rules = Constraints([Forbidden(("a",))])
    sampling = Sampling(temperature=0.01, top_k=1, repetition_penalty=9)
    assert _draw([50, 3, 2, 1], sampling, constraints=rules)[:2] == [3, 4]


def test_a_window_of_0_penalises_nothing() -> None:
    sampling = Sampling(temperature=0, repetition_penalty=9, window=0)
    assert _draw([4, 3, 2, 1], sampling) == [2, 2, 2]
    sampling = Sampling(temperature=0, repetition_penalty=9, window=1)
    assert _draw([4, 3, 2, 1], sampling) == [2, 3, 2]


@pytest.mark.parametrize("level", ["char", "bpe"])
def test_an_acrostic_ends_when_its_lines_are_written(level: str) -> None:
    tokeniser = _tokeniser(level, text="abc\nbca\ncab\n" * 3)
    model = _network(tokeniser.size)
    rules = Constraints([acrostic("bac")])
    for seed in range(8):
        wanted = Wanted(1000, constraints=rules, ends=False, seed=seed)
        text = "".join(map(str, generate(model, tokeniser, (), wanted)))
        assert [line[:1] for line in text.split("\n")] == ["b", "a", "c", ""]
        wanted = Wanted(1000, constraints=rules, ends=False, seed=seed, required=("abcabcabc",))
        text = "".join(map(str, generate(model, tokeniser, (), wanted)))
        assert [line[:1] for line in text.split("\n")][:3] == ["b", "a", "c"]
        assert "abcabcabc" in text


CHINESE = "春眠不觉晓，处处闻啼鸟。\n夜来风雨声，花落知多少。\n"


@pytest.mark.parametrize("level", ["byte", "bpe", "char"])
@pytest.mark.parametrize("temperature", [0, 1])
def test_constraints_hold_where_a_token_is_part_of_a_character(
    level: str, temperature: float
) -> None:
    tokeniser = _tokeniser(level, text=CHINESE * 3)
    model = _network(tokeniser.size)
    verse = Matching("[\u4e00-\u9fff]{2}，\n?[春夜][^a-z]。")
    for seed in range(3):
        wanted = Wanted(
            80, Sampling(temperature), Constraints([verse, acrostic("来夜")]), seed=seed
        )
        text = "".join(map(str, generate(model, tokeniser, (), wanted)))
        assert re.fullmatch("来[\u4e00-\u9fff]，\n?夜[^a-z]。", text), text


def test_a_token_that_begins_no_character_does_not_fit() -> None:
    tokeniser = _tokeniser("byte")
    written = Written(tokeniser)
    ids = {bytes([byte]): number for number in range(2, 258) for byte in tokeniser.utf8([number])}
    assert len(ids) == 256

    def outcomes(byte: bytes) -> str:
        return "".join(written.outcomes(ids[byte]))

    assert "春" in outcomes(b"\xe6") and outcomes(b"\x98") == outcomes(b"\xff") == ""
    assert written.add(ids[b"\xe6"]) == ""
    assert "春" in outcomes(b"\x98") and outcomes(b"\xe6") == ""
    assert written.add(ids[b"\x98"]) == "" and written.add(ids[b"\xa5"]) == "春"


def test_the_character_that_stands_for_unknown_bytes_is_whole() -> None:
    tokeniser = _tokeniser("byte")
    written = Written(tokeniser)
    first, second, third = tokeniser.encode("\ufffd")
    assert written.add(first) == written.add(second) == written.piece(third) == ""
    assert list(written.outcomes(third)) == ["\ufffd"]


def test_the_characters_that_begin_with_some_bytes() -> None:
    wanted: dict[bytes, list[str]] = {}
    for number in (*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0x110000)):
        char = chr(number)
        whole = char.encode()
        for size in range(1, len(whole)):
            wanted.setdefault(whole[:size], []).append(char)
    for first, chars in wanted.items():
        assert list(characters(first)) == chars
    assert list(characters(b"\xf1")) == []


class _Looked:
    """A rule that notes how long the texts are that it is shown."""

    def __init__(self) -> None:
        self.longest = 0

    def allows(self, text: str, piece: str) -> bool:
        self.longest = max(self.longest, len(text))
        return Forbidden(("zz",)).allows(text, piece)

    def finished(self, text: str) -> bool:
        self.longest = max(self.longest, len(text))
        return True

    def shortened(self, text: str) -> tuple[_Looked, str]:
        return self, text[-3:]


@pytest.mark.parametrize("level", ["char", "byte"])
def test_a_long_text_costs_no_more_than_a_short_one(
    level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the text nor its tokens are kept, and rules are shown what they need of it."""
    tokeniser, looked, split, decoded = _tokeniser(level), _Looked(), [0], [0]
    decode = tokeniser.decode

    def noting(ids: Any) -> str:
        decoded[0] = max(decoded[0], len(ids))
        return decode(ids)

    monkeypatch.setattr(tokeniser, "decode", noting)
    lines = LineStarts(["the"] * 2 + ["t"] * 30)
    allows = LineStarts.allows

    def counted(self: LineStarts, text: str, piece: str) -> bool:
        split[0] = max(split[0], len(text))
        return allows(self, text, piece)

    monkeypatch.setattr(LineStarts, "allows", counted)
    rules = [looked, lines] if level == "char" else [looked]  # a byte alone begins no line
    wanted = Wanted(20_000, Sampling(repetition_penalty=1.1), Constraints(rules),
                    stops=("never in it",), ends=False, required=("mat",))  # fmt: skip
    held: list[Drawing] = []

    class Kept(Drawing):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            held.append(self)

    monkeypatch.setattr(lm_generation, "Drawing", Kept)
    count = 0
    for number, _ in enumerate(generate(_network(tokeniser.size), tokeniser, (), wanted)):
        count = number + 1
        if count % 1000 == 0:
            (drawing,) = held
            assert len(drawing.end) < 60 and len(drawing._recent) <= 256
            assert len(drawing._written._ids) <= 32
    assert count == 20_000
    assert looked.longest <= 3 and split[0] < 20 and decoded[0] <= 32


def test_bytes_of_no_character_are_not_held_for_ever() -> None:
    tokeniser = _tokeniser("byte")
    written = Written(tokeniser)
    pieces = [written.add(0xFF + 2) for _ in range(100)]
    assert len("".join(pieces)) > 80
    assert "".join(written.add(number) for number in tokeniser.encode("né漢")).endswith("né漢")


def test_a_token_is_printed_as_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    print(Token(3, "ROMEO", -1.0), end="")
    assert capsys.readouterr().out == "ROMEO"


def _heard(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    heard: list[int] = []
    follow = Reader.next

    def noting(self: Reader, token: int) -> Any:
        heard.append(token)
        return follow(self, token)

    monkeypatch.setattr(Reader, "next", noting)
    return heard


def test_a_reply_that_is_cut_ends_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    tokeniser = _tokeniser(text="hello you\n")
    heard, model = _heard(monkeypatch), _network(tokeniser.size)
    for seed in range(6):
        heard.clear()
        talk = Chat(model, tokeniser, Wanted(3, ends=False, seed=seed))
        said = ["".join(map(str, talk.reply(text))) for text in ("hello", "you", "he")]
        assert all("\n" not in reply and len(reply) <= 3 for reply in said)
        text = tokeniser.decode(heard)
        assert text.startswith(f"hello\n{said[0]}\nyou\n{said[1]}\nhe\n{said[2]}")


def test_text_before_the_end_of_a_turn_in_one_token_is_shown() -> None:
    def drawn(self: Chat, drawing: Drawing) -> Iterator[Token]:
        yield Token(1, "well\nno", -1.0)

    tokeniser = _tokeniser()
    talk = Chat(_network(tokeniser.size), tokeniser, Wanted(3))
    talk._drawn = drawn.__get__(talk)  # type: ignore[method-assign]
    assert [str(token) for token in talk.reply("the")] == ["well"]
