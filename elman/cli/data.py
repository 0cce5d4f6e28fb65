"""`elman data`: public data sets - which there are, where they lie, fetched from their publishers.

Sets lie in the folder that the environment variable ELMAN_DATA names, or in the cache folder.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elman.cli.download import Download, download, unpack
from elman.cli.output import say, show, show_json, table
from elman.errors import DataError, did_you_mean


@dataclass(frozen=True)
class PublicSet:
    """A set that anyone can have: what it is, its licence as stated, and the publisher's files.

    Without `files` the publisher offers no file that one could name for ever; it is used when it
    lies in the folder.
    """

    what: str
    licence: str
    files: tuple[Download, ...] = ()


SETS = {
    "imdb": PublicSet(
        "50,000 film reviews, positive or negative (Maas et al. 2011)",
        "none stated; cite the paper",
        (
            Download(
                "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
                "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe",
            ),
        ),
    ),
    "trec": PublicSet(
        "5,952 questions in 6 coarse and 50 fine classes (Li & Roth 2002)",
        "none stated",
        (
            Download(
                "https://cogcomp.seas.upenn.edu/Data/QA/QC/train_5500.label",
                "9e4c8bdcaffb96ed61041bd64b564183d52793a8e91d84fc3a8646885f466ec3",
            ),
            Download(
                "https://cogcomp.seas.upenn.edu/Data/QA/QC/TREC_10.label",
                "033f22c028c2bbba9ca682f68ffe204dc1aa6e1cf35dd6207f2d4ca67f0d0e8e",
            ),
        ),
    ),
    "sms_spam": PublicSet(
        "5,574 text messages, spam or not (Almeida et al. 2011)",
        "CC BY 4.0",
        (
            Download(
                "https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip",
                "1587ea43e58e82b14ff1f5425c88e17f8496bfcdb67a583dbff9eefaf9963ce3",
            ),
        ),
    ),
    "glove_6b": PublicSet(
        "400,000 English word vectors of 50 to 300 numbers (Pennington et al. 2014)",
        "PDDL 1.0",
        (
            Download(
                "https://nlp.stanford.edu/data/glove.6B.zip",
                "617afb2fe6cbd085c235baf7a465b96f4112bd7f7ccb2b2cbd649fed9cbcf2fb",
            ),
        ),
    ),
    "snips": PublicSet("14,484 spoken commands with intents and slots", "CC0 1.0"),
    "waimai_10k": PublicSet("11,987 Chinese reviews of food deliveries", "none stated"),
}


def folder() -> Path:
    """The folder of the data sets."""
    named = os.environ.get("ELMAN_DATA")
    if named:
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "elman" / "data"


def list_sets(*, json: Annotated[bool, Parameter(help="Print the list as JSON.")] = False) -> None:
    """List the known sets and what else lies in the folder."""
    home = folder()
    here = {child.name for child in home.iterdir() if child.is_dir()} if home.is_dir() else set()
    names = [*SETS, *sorted(here - set(SETS))]
    rows = [
        {
            "name": name,
            "here": name in here,
            "fetchable": name in SETS and bool(SETS[name].files),
            "what": SETS[name].what if name in SETS else None,
            "licence": SETS[name].licence if name in SETS else None,
        }
        for name in names
    ]
    if json:
        show_json({"folder": str(home), "sets": rows})
        return
    show(f"folder: {home}")
    cells = [
        [
            row["name"],
            "here" if row["here"] else "fetch" if row["fetchable"] else "-",
            row["what"] or "",
        ]
        for row in rows
    ]
    show(table(cells))


def path(
    name: Annotated[str, Parameter(help="The set.")],
    /,
    *,
    json: Annotated[bool, Parameter(help="Print the place and its files as JSON.")] = False,
) -> None:
    """Say where a set lies."""
    place = folder() / name
    if not place.is_dir():
        raise _missing(name)
    if json:
        files = sorted(str(file) for file in place.rglob("*") if file.is_file())
        show_json({"name": name, "path": str(place), "files": files[:1000]})
    else:
        show(str(place))


def fetch(
    name: Annotated[str, Parameter(help="The set.")],
    /,
    *,
    json: Annotated[bool, Parameter(help="Print the place as JSON.")] = False,
) -> None:
    """Download a set from its publisher, check its checksum and unpack it."""
    place = folder() / name
    if name not in SETS:
        raise DataError(f'there is no public set "{name}".', hint=did_you_mean(name, SETS))
    if not SETS[name].files and not place.is_dir():
        raise DataError(
            f'"{name}" cannot be fetched: no lasting address of its publisher is known.',
            hint=f"Put its files into {place}.",
        )
    if place.is_dir() and any(place.iterdir()):
        say(f"{name} is already there.")
    else:
        for item in SETS[name].files:
            unpack(download(item, place))
    if json:
        show_json({"name": name, "path": str(place)})
    else:
        show(str(place))


def _missing(name: str) -> DataError:
    home = folder()
    if name in SETS and SETS[name].files:
        return DataError(
            f'the set "{name}" is not in {home}.', hint=f"Fetch it with `elman data fetch {name}`."
        )
    here = [child.name for child in home.iterdir()] if home.is_dir() else []
    return DataError(
        f'there is no set "{name}" in {home}.', hint=did_you_mean(name, [*SETS, *here])
    )
