"""What a search for parameters came to, as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from promethean.interfaces.terminal.pages import heading, pairs
from promethean.interfaces.terminal.words import money

LIKELY, UNLIKELY = 0.95, 0.5  # of the deflated Sharpe ratio and of the probability of overfitting


def page(found: Mapping[str, Any], quote: str) -> RenderableType:
    """The best of a search, and the reasons to doubt it.  found: the fields of its answer."""
    lines: list[RenderableType] = [
        heading(f"{found['strategy']} on {found['symbol']}"),
        pairs(_rows(found)),
        Text(),
        _best(found, quote),
    ]
    lines += [Text(f"Note: {remark}.", style="yellow") for remark in found["remarks"]]
    confirmed = found["confirmed"]
    words = (
        f"The best, step by step: {confirmed['trades']:,} trades, {money(Decimal(confirmed['final_equity']))} {quote}"
    )
    agrees = confirmed["agrees"]
    lines.append(Text(words + ("." if agrees else "; the search says otherwise."), style="green" if agrees else "red"))
    lines += [Text(), heading("How far it is luck"), pairs(_doubts(found))]
    if found["walk_forward"] is not None:
        lines += [
            Text(),
            heading("Walk-forward"),
            _folds(found["walk_forward"]),
            pairs(_outside(found["walk_forward"])),
        ]
    lines.append(Text("Nothing was changed: put the values into the strategy file yourself.", style="dim"))
    return Group(*lines)


def _rows(found: Mapping[str, Any]) -> dict[str, RenderableType]:
    before = found["combinations_before"]
    combinations = f"{found['combinations']:,} of {found['combinations_possible']:,} in {found['seconds']:.2f} s"
    if before:
        combinations += f"; {before:,} of them were there already"
    rows: dict[str, RenderableType] = {
        "Data": f"{found['data']}, {found['candles']:,} candles",
        "Combinations": combinations,
        "Objective": f"{found['objective'].replace('_', ' ')}, {found['sampler']}, seed {found['seed']}",
        "Study": found["study"],
    }
    if found["pruned"]:
        rows["Of no use"] = "\n".join(f"{count:,}: {reason}" for reason, count in list(found["pruned"].items())[:5])
    return rows


def _best(found: Mapping[str, Any], quote: str) -> Table:
    table = _table("Parameters", found["objective"].replace("_", " ").capitalize(), f"Equity, {quote}", "Return",
                   "Drawdown", "Trades")  # fmt: skip
    for one in found["top"]:
        table.add_row(
            _named(one["parameters"]),
            f"{one['objective']:.3f}",
            money(Decimal(one["final_equity"])),
            f"{one['return_pct']:+.2f} %",
            f"{one['max_drawdown_pct']:.2f} %",
            f"{one['trades']:,}",
        )
    return table


def _doubts(found: Mapping[str, Any]) -> dict[str, RenderableType]:
    doubts, stability = found["doubts"], found["stability"]
    rows: dict[str, RenderableType] = {}
    if doubts["sharpe_raw"] is None:
        rows["Sharpe"] = f"unknown: {doubts['days']} days are too few"
    else:
        luck = doubts["sharpe_raw_expected_by_luck"]
        rows["Sharpe"] = f"{doubts['sharpe_raw']:.3f} a day; the best of so many without any skill shows {luck:.3f}"
    if doubts["deflated_sharpe"] is not None:
        sure = doubts["deflated_sharpe"]
        rows["Deflated"] = Text(f"{100 * sure:.1f} % that it is skill", style="green" if sure >= LIKELY else "yellow")
    overfit = doubts["probability_of_overfitting"]
    rows["Overfitting"] = (
        "unknown: it needs 32 days and two sets"
        if overfit is None
        else Text(
            f"{100 * overfit:.1f} %: so often the best of one half is below the median in the other",
            style="green" if overfit < UNLIKELY else "yellow",
        )
    )
    kept = stability["neighbours_kept_pct"]
    if kept is not None:
        count = len(stability["neighbours"])
        worst = _figure(stability["neighbours_worst"])
        rows["Neighbours"] = f"{count} sets one value away keep {kept:.0f} % of it; the worst comes to {worst}"
    rows["Matters"] = ", ".join(f"{name} {100 * share:.0f} %" for name, share in stability["importance"].items())
    return rows


def _folds(walked: Mapping[str, Any]) -> Table:
    table = _table("Parameters chosen", "Judged on", "Inside", "Outside", "Return inside", "Return outside", "Trades")
    for fold in walked["folds"]:
        inside, outside = fold["in_sample"], fold["out_of_sample"]
        when = f"{outside['from'][:10]} to {outside['to'][:10]}"
        if fold["parameters"] is None:
            table.add_row("none of use", when)
            continue
        table.add_row(
            _named(fold["parameters"]),
            when,
            _figure(inside["objective"]),
            _figure(outside["objective"]),
            f"{inside['return_pct']:+.2f} %",
            f"{outside['return_pct']:+.2f} %",
            f"{outside['trades']:,}",
        )
    return table


def _outside(walked: Mapping[str, Any]) -> dict[str, RenderableType]:
    efficiency, sharpe = walked["efficiency_pct"], walked["out_of_sample_sharpe"]
    return {
        "Outside": f"{walked['out_of_sample_return_pct']:+.2f} % in all, Sharpe {_figure(sharpe)} a year, "
        f"{walked['profitable_folds']} of {len(walked['folds'])} folds with a profit",
        "Efficiency": "unknown: nothing was gained inside"
        if efficiency is None
        else f"{efficiency:.0f} % of the growth inside was there outside",
    }


def _named(parameters: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in parameters.items())


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    return table
