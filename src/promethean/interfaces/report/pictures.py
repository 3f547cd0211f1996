"""The pictures of a report, as SVG text to be put into a page."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

POINTS_MAX = 1_500  # on a line; more than a page has pixels
MARKS_MAX = 400
INK, FAINT, GRID = "#1d2733", "#6b7785", "#e6e9ee"
BLUE, GREY, GREEN, RED = "#2563eb", "#9aa5b1", "#15803d", "#c2410c"

Times = NDArray[np.int64]
Values = NDArray[np.float64]


def equity_picture(times_ns: Times, equity: Values, hold: Values, quote: str) -> str:
    """Equity of the account and of holding instead, quote units, over time."""
    figure, axes = _figure(2.9)
    axes.plot(*_line(times_ns, hold), color=GREY, linewidth=1.0, label="buy and hold")
    axes.plot(*_line(times_ns, equity), color=BLUE, linewidth=1.4, label="strategy")
    axes.set_ylabel(quote)
    axes.legend(frameon=False, loc="best", fontsize=8, labelcolor=FAINT)
    return _svg(figure)


def drawdown_picture(times_ns: Times, below: Values) -> str:
    """Percent below the highest equity so far."""
    figure, axes = _figure(1.6)
    times, values = _line(times_ns, below)
    axes.fill_between(times, values, 0, color=RED, alpha=0.25, linewidth=0)
    axes.plot(times, values, color=RED, linewidth=0.9)
    axes.set_ylabel("%")
    return _svg(figure)


def trades_picture(times_ns: Times, close: Values, entries: Sequence[Any], exits: Sequence[Any], quote: str) -> str:
    """The price with what was bought and sold.

    entries, exits: (instant in ns, price, whether it is a long's entry or a gain).
    """
    figure, axes = _figure(2.9)
    axes.plot(*_line(times_ns, close), color=GREY, linewidth=0.9)
    for marks, shape, colours in ((entries, "^", (BLUE, BLUE)), (exits, "o", (GREEN, RED))):
        for good in (True, False):
            chosen = [(at, price) for at, price, is_good in marks if is_good is good]
            if chosen:
                at, prices = zip(*chosen, strict=True)
                colour = colours[0] if good else colours[1]
                axes.scatter(_dates(np.array(at)), prices, s=9, marker=shape, color=colour, alpha=0.7, linewidths=0)
    axes.set_ylabel(quote)
    return _svg(figure)


def profits_picture(profits: Values, quote: str) -> str:
    """How many trades came to how much."""
    figure, axes = _figure(1.9)
    low, high = float(profits.min()), float(profits.max())
    bins = np.linspace(low, high, 41) if high > low else np.array([low - 0.5, low + 0.5])
    counts, edges = np.histogram(profits, bins)
    colours = [GREEN if left + right > 0 else RED for left, right in itertools.pairwise(edges)]
    axes.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=colours, alpha=0.75, linewidth=0)
    axes.set_xlabel(f"{quote} a trade, after fees", color=FAINT, fontsize=8)
    axes.set_ylabel("trades")
    axes.yaxis.get_major_locator().set_params(integer=True)  # there is no half trade
    return _svg(figure)


def _figure(height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.2, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(True, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(colors=FAINT, labelsize=8, length=0)
    axes.yaxis.label.set_color(FAINT)
    axes.yaxis.label.set_fontsize(8)
    axes.margins(x=0.01)
    return figure, axes


def _svg(figure: Any) -> str:
    from matplotlib import rc_context

    for axes in figure.axes:
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    text = io.StringIO()
    with rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": "promethean"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    picture = text.getvalue()
    return picture[picture.index("<svg") :]


def _line(times_ns: Times, values: Values) -> tuple[Any, Values]:
    """A line of at most `POINTS_MAX` points that keeps the highest and the lowest of what it leaves out."""
    if len(values) <= POINTS_MAX:
        return _dates(times_ns), values
    edges = np.linspace(0, len(values), POINTS_MAX // 2 + 1).astype(int)
    places: list[int] = []
    for start, stop in itertools.pairwise(edges):
        part = values[start:stop]
        places += sorted({int(start + part.argmin()), int(start + part.argmax())})
    return _dates(times_ns[places]), values[places]


def _dates(times_ns: Times) -> list[datetime]:
    return [datetime.fromtimestamp(int(each) / 1e9, UTC) for each in times_ns]
