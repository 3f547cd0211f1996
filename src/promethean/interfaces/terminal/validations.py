"""What the checks of a strategy came to, as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from promethean.evaluation.refusals import refusal_words
from promethean.interfaces.terminal.pages import forms_tried, heading, pairs
from promethean.interfaces.terminal.words import money

NAMES = {
    "look_ahead": "Look-ahead",
    "warm_up": "Warm-up",
    "walk_forward": "Walk-forward",
    "monte_carlo": "Monte Carlo",
    "significance": "Significance",
    "deflated_sharpe": "Deflated Sharpe",
}
STYLES = {"passed": "green", "failed": "red", "not judged": "yellow"}
UNSOUND = "It sees what it could not have seen, or needs more than it asks for: until that is mended, no figure counts."


def page(found: Mapping[str, Any], quote: str) -> RenderableType:
    """All checks of one strategy.  found: the fields of its answer."""
    data = f"{found['data']}, {found['candles']:,} candles of {found['timeframe']}, {found['from']} to {found['to']}"
    rows: dict[str, RenderableType] = {
        "Data": data,
        "Backtest": f"{found['trades']:,} trades, {found['return_pct']:+.2f} %",
        "Tried": forms_tried(found["variants_tried"]),
    }
    lines: list[RenderableType] = [heading(f"{found['strategy']} on {found['symbol']}"), pairs(rows), Text()]
    lines += [_checks(found["checks"]), Text(), _windows(found["walk_forward"])]
    if found["monte_carlo"] is not None:
        lines += [Text(), _monte_carlo(found["monte_carlo"], quote)]
    if found["significance"] is not None or found["deflated_sharpe"] is not None:
        lines += [Text(), pairs(_luck(found, quote))]
    lines += [Text(f"Note: {remark}.", style="yellow") for remark in found["remarks"]]
    if (words := refusal_words(found["refusals_by_reason"])) is not None:
        lines.append(Text(words, style="dim" if found["trades"] else "yellow"))
    if not found["sound"]:
        lines.append(Text(UNSOUND, style="red"))
    lines.append(Text("Past prices promise nothing.", style="dim"))
    return Group(*lines)


def _checks(checks: list[Mapping[str, Any]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True, min_width=14)
    table.add_column(no_wrap=True)
    table.add_column()
    for check in checks:
        verdict = Text(check["verdict"], style=STYLES[check["verdict"]])
        table.add_row(NAMES[check["name"]], verdict, Text(f"{check['sentence']}."))
    return table


def _windows(windows: list[Mapping[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for column in ("Window", "Trades", "Won", "Return", "Sharpe", "Drawdown"):
        table.add_column(column, justify="left" if column == "Window" else "right")
    for one in windows:
        share = f"{100 * one['wins'] / one['trades']:.0f} %" if one["trades"] else "-"
        sharpe = "unknown" if one["sharpe"] is None else f"{one['sharpe']:.2f}"
        table.add_row(
            f"{one['from']} to {one['to']}", f"{one['trades']:,}", share, f"{one['return_pct']:+.2f} %", sharpe,
            f"{one['max_drawdown_pct']:.2f} %",
        )  # fmt: skip
    return table


def _monte_carlo(found: Mapping[str, Any], quote: str) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for column in (f"{found['runs']:,} runs, blocks of {found['block_trades']} trades", "5 %", "50 %", "95 %"):
        table.add_column(column, justify="right" if column.endswith(" %") else "left")

    def row(name: str, values: Mapping[str, Any], shape: str) -> None:
        table.add_row(name, *(shape.format(values[key]) for key in ("p5", "p50", "p95")))

    table.add_row(
        f"Final equity, {quote}", *(money(Decimal(found["final_equity"][key])) for key in ("p5", "p50", "p95"))
    )
    row("Return", found["final_return_pct"], "{:+.2f} %")
    row("Deepest drawdown, trade to trade", found["max_drawdown_pct"], "{:.2f} %")
    row("Under water, of all trades", found["time_under_water_pct"], "{:.1f} %")
    row("Longest under water, days", found["longest_under_water_days"], "{:.1f}")
    return table


def _luck(found: Mapping[str, Any], quote: str) -> dict[str, RenderableType]:
    rows: dict[str, RenderableType] = {}
    chance, deflated = found["significance"], found["deflated_sharpe"]
    if chance is not None:
        low, middle, high = (float(chance["random_profit_a_trade"][key]) for key in ("p5", "p50", "p95"))
        rows["Random entries"] = (
            f"{middle:+.4g} {quote} a trade ({low:+.4g} to {high:+.4g}), the strategy "
            f"{float(chance['profit_a_trade']):+.4g}; {chance['runs']:,} runs of {chance['random_trades']:,.0f} trades"
        )
    if deflated is not None:
        rows["Sharpe"] = (
            f"{deflated['sharpe']:.2f} a year over {deflated['days']} days, skewness {deflated['skewness']:.2f}, "
            f"kurtosis {deflated['kurtosis']:.2f}"
        )
        rows["Luck"] = (
            f"{deflated['luck_sharpe']:.2f} a year from the best of {deflated['trials']:,} without skill; "
            f"variance of their Sharpe ratios: {deflated['variance_from']}"
        )
    return rows
