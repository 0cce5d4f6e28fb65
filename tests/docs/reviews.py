"""A small file of reviews and a small text that the documents speak of."""

from __future__ import annotations

import csv
import random
from pathlib import Path

GOOD = "wonderful moving clever funny warm brilliant gripping charming".split()
BAD = "dull clumsy boring hollow tedious weak annoying flat".split()
THINGS = "film story cast ending plot music camera dialogue scene director".split()


def write_reviews(path: Path, rows: int = 240, seed: int = 1) -> None:
    """Writes `review,stars`: three things said of a film, most of them of one kind."""
    dice = random.Random(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("review", "stars"))
        for number in range(rows):
            good = number % 2 == 0
            words = [dice.choice(GOOD if good else BAD) for _ in range(2)]
            words.append(dice.choice(GOOD + BAD))
            said = [f"the {dice.choice(THINGS)} is {word}" for word in words]
            dice.shuffle(said)
            writer.writerow((f"{', '.join(said)} ({number})", "good" if good else "bad"))


def write_text(path: Path, sentences: int = 1200, seed: int = 1) -> None:
    """Writes plain sentences, four to a line."""
    dice = random.Random(seed)
    said = [
        f"The {dice.choice(THINGS)} was {dice.choice(GOOD + BAD)} and {dice.choice(GOOD + BAD)}."
        for _ in range(sentences)
    ]
    lines = (" ".join(said[k : k + 4]) for k in range(0, sentences, 4))
    path.write_text("\n".join(lines) + "\nA B\n", encoding="utf-8")
