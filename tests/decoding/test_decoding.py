"""Decoders against brute force on distributions small enough to list."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from elman.decoding import (
    Constraints,
    Forbidden,
    LineStarts,
    Matching,
    Required,
    Sampling,
    Scores,
    acrostic,
    beam_search,
    choose,
    filtered,
)
from elman.errors import ConfigError, DataError

SCORES = np.array([2.0, 1.0, 0.5, -1.0, -3.0])


def softmax(scores: Scores) -> Scores:
    """By its definition, from another library."""
    return torch.from_numpy(scores).softmax(0).numpy()


def test_the_defaults_are_the_model() -> None:
    np.testing.assert_allclose(np.exp(filtered(SCORES, Sampling())), softmax(SCORES), rtol=1e-12)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=8), st.floats(0.2, 3), st.integers(0, 8),
       st.floats(0.05, 1), st.floats(0, 0.9))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_filters_against_their_definitions(
    scores: list[float], temperature: float, top_k: int, top_p: float, min_p: float
) -> None:
    got = np.exp(filtered(np.array(scores), Sampling(temperature, top_k, top_p, min_p)))
    p = {k: math.exp(s / temperature) for k, s in enumerate(scores)}
    if top_k and top_k < len(p):
        least = sorted(p.values(), reverse=True)[top_k - 1]
        p = {k: v for k, v in p.items() if v >= least * (1 - 1e-12)}
    total = math.fsum(p.values())
    p = {k: v / total for k, v in p.items()}
    nucleus = _smallest_set(p, top_p)
    # Of the nucleus, what has a share of the best one's probability; the best is always in it.
    best = max(p.values())
    wanted = {k for k in nucleus if p[k] >= min_p * best}
    assume(not any(math.isclose(p[k], min_p * best, rel_tol=1e-9) for k in nucleus))
    kept = {k for k in range(len(scores)) if got[k] > 0}
    assert sorted(p[k] for k in kept) == pytest.approx(sorted(p[k] for k in wanted))
    assert all(p[k] > 0 for k in kept)
    total = math.fsum(p[k] for k in kept)
    for k in kept:
        assert got[k] == pytest.approx(p[k] / total, rel=1e-9)


def _smallest_set(p: dict[int, float], least: float) -> set[int]:
    """Of all sets that have the probability `least`, one of the fewest and the most probable."""
    sets = [set(some) for n in range(1, len(p) + 1) for some in itertools.combinations(p, n)]
    sums = [math.fsum(p[k] for k in some) for some in sets]
    assume(least == 1 or not any(math.isclose(total, least, rel_tol=1e-9) for total in sums))
    if least == 1:
        return set(p)
    there = [(len(some), -total, some) for some, total in zip(sets, sums, strict=True)
             if total >= least]  # fmt: skip
    return min(there, key=lambda one: one[:2])[2]


def test_top_p_is_the_smallest_set() -> None:
    logs = np.log([0.5, 0.3, 0.15, 0.05])
    kept = filtered(logs, Sampling(top_p=0.8)) > -math.inf
    assert kept.tolist() == [True, True, False, False]
    assert (filtered(logs, Sampling(top_p=0.81)) > -math.inf).sum() == 3
    assert (filtered(logs, Sampling(min_p=0.5)) > -math.inf).sum() == 2


def test_repetition_is_penalised() -> None:
    got = filtered(SCORES, Sampling(repetition_penalty=2), recent=[0, 3])
    wanted = softmax(np.array([1.0, 1.0, 0.5, -2.0, -3.0]))
    np.testing.assert_allclose(np.exp(got), wanted, rtol=1e-12)


def test_draws_have_the_right_frequencies() -> None:
    logs = filtered(SCORES, Sampling())
    random = np.random.default_rng(1)
    counts = np.zeros(5)
    for _ in range(20_000):
        counts[choose(logs, random)] += 1
    np.testing.assert_allclose(counts / 20_000, np.exp(logs), rtol=0, atol=0.01)
    again = [choose(logs, np.random.default_rng(7)) for _ in range(2)]
    assert again[0] == again[1]


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"top_p": 0}, {"min_p": 2}, {"top_k": -1},
                                   {"repetition_penalty": 0}])  # fmt: skip
def test_impossible_settings(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Sampling(**wrong)  # type: ignore[arg-type]


def _toy(seed: int, size: int = 4) -> Any:
    """A second-order model: the state is the last token but one, and the last."""
    table = torch.randn(size + 1, size + 1, size, generator=torch.Generator().manual_seed(seed))
    table = table.double().log_softmax(-1)

    def step(tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = torch.stack([state[:, 1], tokens], dim=1)
        return table[state[:, 0], state[:, 1]], state

    first = table[size, size]
    start = torch.tensor([[size, size]])
    return first, start, step, table


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_wide_beam_finds_the_best(seed: int, penalty: float) -> None:
    size, length, end = 4, 4, 3
    first, start, step, table = _toy(seed)
    found = beam_search(
        first, start, step, lambda state, rows: state[rows],
        width=size**length, length=length, ends={end}, penalty=penalty,
    )  # fmt: skip
    best: dict[tuple[int, ...], float] = {}
    for count in range(length + 1):
        for tokens in itertools.product(range(end), repeat=count):
            whole = (*tokens, end) if count < length else tokens
            score, state = 0.0, (size, size)
            for token in whole:
                score += float(table[state[0], state[1], token])
                state = (state[1], token)
            best[tokens] = score / ((5 + len(whole)) / 6) ** penalty
    top = max(best, key=lambda tokens: best[tokens])
    assert found[0].tokens == top
    assert math.isclose(found[0].normalised(penalty), best[top], rel_tol=1e-9)


def test_a_beam_of_one_is_greedy() -> None:
    first, start, step, _ = _toy(1)
    found = beam_search(first, start, step, lambda s, r: s[r], width=1, length=5)[0]
    logs, state, tokens = first, start, []
    for _ in range(5):
        tokens.append(int(logs.argmax()))
        following, state = step(torch.tensor(tokens[-1:]), state)
        logs = following[0]
    assert found.tokens == tuple(tokens)


def test_an_acrostic_of_chinese_verses() -> None:
    verses = acrostic("春夏秋")
    text = ""
    for piece in "春眠不觉晓，夏日长。\n秋":
        assert verses.allows(text, piece), (text, piece)
        assert not verses.finished(text)
        text += piece
    assert verses.finished(text)
    assert verses.allows("春眠，", "\n") and not verses.allows("春眠，\n", "\n")
    assert not verses.allows("春眠，", "，") and not verses.allows("春眠\n", "。")
    assert not verses.allows("春眠", "，。夏") and verses.allows(text, "，，")
    assert not verses.allows("春眠，", "处") and not verses.allows("", "，")
    assert not verses.allows("春，夏。\n", "风") and not verses.finished("春，夏。")
    assert acrostic("ab").allows("a, b", "x") and not acrostic("ab").allows("a, b\n", "x")


@pytest.mark.parametrize(
    ("word", "text", "length"),
    [
        ("春夏", "春眠不觉晓，夏日长。\n秋风。", 10),
        ("王小明", "王孙归，小雨停。\n明月夜，故人情。\n处处", 17),  # the couplet is completed
        ("王小明", "王孙归。小雨停。明月夜！", 12),
        ("春夏", "春眠\n夏日\n秋", 6),
        ("春夏", "春眠，夏日", None),
        ("ab", "all, that\nbe\nand so", 13),
    ],
)
def test_an_acrostic_ends_with_its_last_line(word: str, text: str, length: int | None) -> None:
    rule = acrostic(word)
    following = Constraints([rule]).following()
    ends = []
    for k, piece in enumerate(text, start=1):
        assert following.allows(piece)
        following.add(piece)
        assert following.complete() == rule.complete(text[:k])
        if rule.complete(text[:k]):
            ends.append(k)
    assert (ends[0] if ends else None) == length


def test_an_acrostic_ends_no_text_that_another_rule_wants_to_go_on() -> None:
    rules = Constraints([acrostic("ab"), Matching("(?s).*c\n")])
    following = rules.following()
    text, ends = "", []
    for piece in "a\nb\nb\nc\n":
        following.add(piece)
        text += piece
        ends += [text] if following.complete() else []
    assert ends == ["a\nb\nb\nc\n"]


def test_an_acrostic_of_nothing() -> None:
    with pytest.raises(ConfigError, match="empty acrostic"):
        acrostic("")


def _forced(required: Required, text: str, left: int, likely: float, allowed: bool = True) -> Any:
    return required.forced(text, left, np.log([1 - likely, likely, 1e-9]), lambda _: allowed)


def test_required_strings_come_where_they_are_likely_and_in_time() -> None:
    def fresh() -> Required:
        return Required({"ab": [1, 2], "c": [2]}, 13)

    late = fresh()
    assert [_forced(late, "x" * k, 13 - k, 1e-6) for k in range(10)] == [None] * 10
    assert late.missing("x" * 10)
    assert _forced(late, "x" * 10, 3, 1e-6) == 1
    assert _forced(late, "x" * 10 + "a", 2, 1e-6) == 2 and late.missing("x" * 10 + "ab")
    assert _forced(late, "x" * 10 + "ab", 1, 1e-6) == 2
    assert not late.missing("x" * 10 + "abc")
    early = fresh()
    assert _forced(early, "xx", 11, 0.9) == 1  # 8 of 10 are left: likely enough at 0.64
    assert _forced(fresh(), "xx", 11, 0.6) is None
    assert _forced(fresh(), "xx", 11, 0.9, allowed=False) is None
    with pytest.raises(DataError, match=r"'ab' is required and has to begin now.* after 'xx'"):
        _forced(fresh(), "xx", 3, 0.9, allowed=False)
    there = fresh()
    assert _forced(there, "cab", 10, 0.99) is None and not there.missing("cab")
    with pytest.raises(ConfigError, match="3 tokens, more than its length of 2"):
        Required({"ab": [1, 2], "c": [2]}, 2)
    with pytest.raises(ConfigError, match="empty"):
        Required({"": []}, 2)


_LETTERS = st.lists(st.text("ab\n", max_size=3), max_size=12)
_VERSES = st.lists(st.text("春夏，。\n", max_size=3), max_size=12)


@pytest.mark.parametrize(
    ("rules", "pieces"),
    [
        ((LineStarts("aab"),), _LETTERS),
        ((LineStarts(["ab", "b"]), Forbidden(("aba", "bb"))), _LETTERS),
        ((LineStarts(["ab", "b"], r"[b\n]"),), _LETTERS),
        ((LineStarts(["a", ""]), Forbidden(())), _LETTERS),
        ((acrostic("春夏春"),), _VERSES),
        ((Matching("(a|b\n)*"), Forbidden(("a", "bb"))), _LETTERS),
    ],
)
@given(st.data())
@settings(max_examples=150, deadline=None)
def test_rules_on_the_end_of_a_text_are_those_on_all_of_it(
    rules: tuple[Any, ...], pieces: Any, data: Any
) -> None:
    whole, text = Constraints(rules), ""
    following = whole.following()
    for piece in data.draw(pieces):
        assert following.allows(piece) == whole.allows(text, piece)
        if whole.allows(text, piece):
            following.add(piece)
            text += piece
            assert following.finished() == whole.finished(text)
            ended = any(isinstance(rule, LineStarts) and rule.complete(text) for rule in rules)
            assert following.complete() == (ended and whole.finished(text))


def test_a_string_that_is_there_is_known_when_only_the_end_is_shown() -> None:
    required = Required({"ab": [1, 2], "c": [2]}, 13)
    assert _forced(required, "xab", 10, 1e-6) is None
    assert _forced(required, "bx", 9, 1e-6) is None and required.missing("bx")
    assert _forced(required, "xc", 8, 0.99) is None and not required.missing("xx")


def test_constraints() -> None:
    lines = LineStarts(["春", "夏"])
    assert lines.allows("", "春")
    assert not lines.allows("", "秋")
    assert lines.allows("春眠\n", "夏")
    assert not lines.allows("春眠", "\n秋")
    assert not lines.allows("", "\n")
    assert lines.finished("春眠\n夏") and not lines.finished("春眠")
    assert not lines.finished("") and not lines.finished("春眠\n秋")
    assert not LineStarts("春").finished("")
    never = Forbidden(("ab", "c"))
    assert not never.allows("xa", "b") and not never.allows("", "xcx") and never.allows("a", "a")
    match = Matching(r"\d{3}-\d+")
    assert match.allows("12", "3") and not match.allows("12", "-")
    assert match.finished("123-4") and not match.finished("123-")
    both = Constraints([match, Forbidden(("9",))])
    assert not both.allows("12", "9") and both and not Constraints()
    with pytest.raises(ConfigError, match="regular expression"):
        Matching("(")
    with pytest.raises(ConfigError, match="empty string"):
        Forbidden(("a", ""))
