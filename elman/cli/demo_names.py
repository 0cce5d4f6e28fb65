"""The demo's data: people's names in sixteen languages, from the lists inside the package Faker.

No word of the validation and test parts stands in the training part: first and last names are
dealt out to the parts before they are joined, and a name that two of the languages share is left
out. So a model has to learn what names of a language look like and cannot remember them.
"""

from __future__ import annotations

import csv
import io
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType

from elman.errors import MissingExtraError
from elman.files import write_text

LANGUAGES = {
    "Bulgarian": "bg_BG",
    "Croatian": "hr_HR",
    "Dutch": "nl_NL",
    "English": "en_GB",
    "Finnish": "fi_FI",
    "French": "fr_FR",
    "German": "de_DE",
    "Greek": "el_GR",
    "Icelandic": "is_IS",
    "Indonesian": "id_ID",
    "Irish": "ga_IE",
    "Italian": "it_IT",
    "Russian": "ru_RU",
    "Spanish": "es_ES",
    "Swedish": "sv_SE",
    "Turkish": "tr_TR",
}
PARTS = {"train": 0.8, "valid": 0.1, "test": 0.1}
_MOST = 1200  # examples of a language in all parts together


def write_names(folder: Path, seed: int = 1) -> dict[str, Path]:
    """Writes train.csv, valid.csv and test.csv with the columns `name` and `language`.

    Raises:
        MissingExtraError: Faker is not installed.
        ElmanError: the folder cannot be written.
    """
    dice = random.Random(seed)
    names = {language: _lists(locale) for language, locale in LANGUAGES.items()}
    shared = _shared(names)
    rows: dict[str, list[tuple[str, str]]] = {part: [] for part in PARTS}
    for language, lists in names.items():
        dealt = [_dealt(sorted(words - shared), dice) for words in lists]
        for part, share in PARTS.items():
            firsts, lasts = dealt[0][part], dealt[1][part]
            for k in range(min(int(_MOST * share), max(len(firsts), len(lasts)))):
                name = f"{firsts[k % len(firsts)]} {lasts[k % len(lasts)]}"
                rows[part].append((name, language))
    paths = {part: folder / f"{part}.csv" for part in PARTS}
    for part, path in paths.items():
        dice.shuffle(rows[part])
        write_text(path, _as_csv(rows[part]))
    return paths


def _lists(locale: str) -> tuple[set[str], set[str]]:
    """First and last names of a locale."""
    provider = vars(_module(locale).Provider)
    found: tuple[set[str], set[str]] = (set(), set())
    for words, prefix in zip(found, ("first_name", "last_name"), strict=True):
        for attribute, value in provider.items():
            if attribute.startswith(prefix) and isinstance(value, (tuple, list, Mapping)):
                words.update(word for word in value if _is_name(word))
    return found


def _module(locale: str) -> ModuleType:
    try:
        return import_module(f"faker.providers.person.{locale}")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "the demo needs the package Faker for its data.",
            hint="Install it with `pip install 'elman[demo]'`.",
        ) from error


def _is_name(word: object) -> bool:
    return isinstance(word, str) and len(word) > 2 and not any(char.isdigit() for char in word)


def _shared(names: Mapping[str, Iterable[set[str]]]) -> set[str]:
    count = Counter(word for lists in names.values() for word in set().union(*lists))
    return {word for word, languages in count.items() if languages > 1}


def _dealt(words: list[str], dice: random.Random) -> dict[str, list[str]]:
    dice.shuffle(words)
    dealt: dict[str, list[str]] = {}
    start = 0.0
    for part, share in PARTS.items():
        dealt[part] = words[round(start * len(words)) : round((start + share) * len(words))]
        start += share
    return dealt


def _as_csv(rows: Iterable[tuple[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("name", "language"))
    writer.writerows(rows)
    return text.getvalue()
