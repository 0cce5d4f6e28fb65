"""From a drawing to a file: PNG, or SVG whose colours are the page's variables."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Each colour is used for one thing, so that the SVG can name it and the page can change it.
INK, MUTED, GRID, PAPER = "#1b2530", "#66727f", "#e2e6eb", "#fefefe"
FIRST, SECOND = "#1e5fa6", "#c05a1c"
_VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "line",
    PAPER: "paper",
    FIRST: "first",
    SECOND: "second",
}
_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Microsoft YaHei",
    "PingFang SC",
    "Hiragino Sans GB",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "SimHei",
    "Droid Sans Fallback",
    "Arial Unicode MS",
)
_WIDE_FILE = re.compile(
    r"sans.*cjk.*regular|wqy|simhei|msyh|pingfang|hiragino|droidsansfallback|arialuni",
    re.IGNORECASE,
)
Draw = Callable[["Axes"], None]


def svg(draw: Draw, name: str, size: tuple[float, float] = (4.6, 3.0)) -> str:
    """A picture for the page: colours are the page's variables, text stays text.

    Args:
        name: makes the ids inside unique on the page.
        size: inches.
    """
    with _style(**{"svg.fonttype": "none", "svg.hashsalt": name}):
        figure = _figure([draw], size, titled=False)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    # matplotlib counts the ids of each picture from one; on a page they must differ.
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    return re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text)
    )


def png(panels: Sequence[Draw], size: tuple[float, float]) -> bytes:
    """Pictures side by side, each with its heading, as the bytes of a PNG file."""
    with _style():
        figure = _figure(panels, size, titled=True)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=160, metadata={"Software": None})
    return stream.getvalue()


def _figure(panels: Sequence[Draw], size: tuple[float, float], *, titled: bool) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(size, layout="constrained", facecolor=PAPER)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for draw, one in zip(panels, axes, strict=True):
        one.set_facecolor(PAPER)
        draw(one)
        if not titled:
            one.set_title("", loc="left")
    if not titled:
        figure.patch.set_alpha(0)
        for one in axes:
            one.patch.set_alpha(0)
    return figure


@cache
def _wide_fonts() -> tuple[str, ...]:
    """Installed fonts with Chinese, Japanese and Korean characters, at most two."""
    from matplotlib import font_manager

    manager = font_manager.fontManager
    known = {font.name for font in manager.ttflist}
    if known.isdisjoint(_FONTS):
        # matplotlib's list of fonts may be older than a font's installation.
        for path in font_manager.findSystemFonts():
            if _WIDE_FILE.search(Path(path).name):
                with contextlib.suppress(OSError, RuntimeError):
                    manager.addfont(path)
        known = {font.name for font in manager.ttflist}
    return tuple(name for name in _FONTS if name in known)[:2]


@contextlib.contextmanager
def _style(**settings: Any) -> Iterator[None]:
    """Fonts that can show the labels, and no warning about characters that no font has."""
    import matplotlib as mpl

    fonts = ["DejaVu Sans", *_wide_fonts()]
    chosen: dict[Any, Any] = {"font.family": fonts, "axes.unicode_minus": False, **settings}
    with warnings.catch_warnings(), mpl.rc_context(chosen):
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")
        yield
