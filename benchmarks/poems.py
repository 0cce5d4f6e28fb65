"""Chinese poems of a trained language model: quatrains of five characters, and acrostics.

    python benchmarks/poems.py RUN POEMS [--samples 100]

Counts out of so many samples, each with a seed of its own:

- quatrains: the form asked for as a regular expression (`--matching`), four verses of five
  characters and nothing more;
- by itself: no constraint, but a prompt of two verses of five characters; the poem that follows
  has verses of five characters only;
- acrostics: four characters, drawn from those that begin verses, asked for as `--acrostic`; every
  verse begins with its own. How many of them are of four verses is counted beside.
"""

from __future__ import annotations

import argparse
import random
import re
from typing import Any

from record import append, table

import elman
from elman.data.corpus import Corpus
from elman.decoding import Matching, acrostic

QUATRAIN = r"(?:[^\s，。！？；]{5}，[^\s，。！？；]{5}。\n?){2}"
_LONGEST = 120  # characters of a poem


def main() -> None:
    """Generates, counts, prints and keeps the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("poems", help="the file that prompts and first characters are drawn from")
    parser.add_argument("--samples", type=int, default=100)
    asked = parser.parse_args()
    model: Any = elman.load(asked.run)
    known = list(Corpus(asked.poems).texts())
    draw = random.Random(1)
    counts = {"quatrains": 0, "by itself": 0, "acrostics": 0, "of four verses": 0}
    shown: dict[str, str] = {}
    openings = [poem.split("\n")[0] for poem in known if set(map(len, verses(poem))) == {5}]
    firsts = [verse[0] for poem in known for verse in verses(poem)]
    for seed in range(asked.samples):
        text = model.generate(length=_LONGEST, seed=seed, constraints=[Matching(QUATRAIN)])
        counts["quatrains"] += [len(verse) for verse in verses(text)] == [5, 5, 5, 5]
        shown.setdefault("quatrain", text)
        prompt = draw.choice(openings) + "\n"
        text = model.generate(prompt, length=_LONGEST, seed=seed)
        counts["by itself"] += set(map(len, verses(text))) == {5}
        word = "".join(draw.choices(firsts, k=4))
        text = model.generate(length=_LONGEST, seed=seed, constraints=[acrostic(word)])
        begun = "".join(verse[0] for verse in verses(text))
        counts["acrostics"] += begun[:4] == word
        counts["of four verses"] += begun == word
        shown.setdefault("acrostic", text)
    print(table(["form", "right", "of"], [[n, c, asked.samples] for n, c in counts.items()]))
    for title, text in shown.items():
        print(f"\n{title}\n{text.strip()}")
    append("poems", {"samples": asked.samples, **counts, "shown": shown})


def verses(poem: str) -> list[str]:
    """The parts of a poem between its marks."""
    return [verse for verse in re.split(r"[，。！？；\s]+", poem) if verse]


if __name__ == "__main__":
    main()
