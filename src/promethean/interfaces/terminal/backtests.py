"""What a backtest came to, as people read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from promethean.evaluation.refusals import refusal_words
from promethean.interfaces.terminal.pages import SMALL_SAMPLE, forms_tried, funding_row, heading, pairs, signed, summary
from promethean.interfaces.terminal.words import money


def page(found: Mapping[str, Any], quote: str) -> RenderableType:
    """One backtest.  found: the fields of its answer."""
    start, end = Decimal(found["start_equity"]), Decimal(found["final_equity"])
    rows: dict[str, RenderableType] = {
        "Data": f"{found['data']}, {found['candles']:,} candles of {found['timeframe']}, "
        f"{found['from']} to {found['to']}",
        "Trades": _trades(found),
        "Equity": Text.assemble(
            f"{money(start)} → {money(end)} {quote}  ", signed(end - start, quote), f"  {found['return_pct']:+.2f} %"
        ),
        "Buy and hold": f"{found['buy_and_hold_pct']:+.2f} %",
        "Drawdown": f"{found['max_drawdown_pct']:.2f} %{_drawdown_days(found)}",
        "Sharpe": _ratio(found, "sharpe"),
        "Sortino": _ratio(found, "sortino"),
        "Calmar": _number(found["calmar"]) + ("" if found["calmar"] is None else _doubt(found)),
        "Profit factor": _number(found["profit_factor"]),
        **_of_trades(found, quote),
        "Fees": f"{money(Decimal(found['fees']))} {quote}",
        **funding_row(found["funding"], quote),
        **_leverage_row(found),
        "In the market": f"{found['exposure_pct']:.1f} % of the time",
        "Controls": _controls(found),
        "Tried": forms_tried(found["variants_tried"]),
        "Speed": f"{found['candles_per_s'] / 1e6:.2f} million candles a second in {found['seconds']:.3f} s, "
        + ("compiled" if found["stepped"] is None else f"step by step ({found['stepped']})"),
    }
    lines: list[RenderableType] = [heading(f"{found['strategy']} on {found['symbol']}"), pairs(rows)]
    lines += _groups(found, quote)
    lines += [Text(f"Note: {remark}.", style="yellow") for remark in found["remarks"]]
    if found["unknown_conditions"]:
        unknown = (
            f"A condition could not be answered {found['unknown_conditions']:,} times and counted as not met: "
            "its indicators had too few candles, or it divided by zero."
        )
        lines.append(Text(unknown, style="dim"))
    if (words := refusal_words(found["refusals_by_reason"])) is not None:
        lines.append(Text(words, style="dim" if found["trades"] else "yellow"))
    if found["trades"] < SMALL_SAMPLE:
        lines.append(Text(f"{found['trades']} trades say little: below {SMALL_SAMPLE} chance decides.", style="yellow"))
    lines.append(Text("Past prices promise nothing.", style="dim"))
    return Group(*lines)


def _of_trades(found: Mapping[str, Any], quote: str) -> dict[str, RenderableType]:
    """What a trade came to; nothing without one."""
    if not found["trades"]:
        return {}
    costs = found["cost_share_pct"]
    return {
        "A trade": f"{found['expected_value']:+,.2f} {quote} on average, best {found['best']:+,.2f}, worst "
        f"{found['worst']:+,.2f}; held {found['average_hold_minutes']:,.0f} minutes",
        "Excursions": f"against it {found['mae_pct']:.2f} % on average, {found['mae_worst_pct']:.2f} % at worst; "
        f"with it {found['mfe_pct']:.2f} %, {found['mfe_best_pct']:.2f} % at best",
        "In a row": f"{found['win_streak']} won, {found['loss_streak']} lost",
        "Turnover": f"{found['turnover']:.1f} times the cash at the start"
        + ("" if costs is None else f"; fees took {costs:.0f} % of what the gaining trades gained"),
    }


def _leverage_row(found: Mapping[str, Any]) -> dict[str, RenderableType]:
    """What was borrowed and what it cost; nothing for who bought with the own money and kept it."""
    taken = found["liquidations"]
    if found["leverage"] == 1 and not taken:
        return {}
    positions = "no position" if not taken else "1 position" if taken == 1 else f"{taken:,} positions"
    text = f"{found['leverage']:f} x; {positions} liquidated" + (", with the whole margin lost" if taken else "")
    return {"Leverage": Text(text, style="red" if taken else "")}


def _drawdown_days(found: Mapping[str, Any]) -> str:
    if found["drawdown_from"] is None:
        return ""
    back = found["drawdown_recovered"]
    return f", {found['drawdown_from']} to {found['drawdown_to']}, " + (
        f"made good {back}" if back else "not made good"
    )


def _groups(found: Mapping[str, Any], quote: str) -> list[RenderableType]:
    """Parts by set-up and by regime; nothing without a trade."""
    if not found["trades"]:
        return []
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for column in ("", "Parts", "Won", f"After fees, {quote}"):
        table.add_column(column, justify="right" if column else "left")
    for key, title in (("setup", "By set-up"), ("regime", "By regime at the entry")):
        table.add_row(Text(title, style="dim"))
        for row in found["groups"][key]:
            won = f"{100 * row['won'] / row['parts']:.0f} %"
            table.add_row(
                Text(f"  {row['name']}"), f"{row['parts']:,}", won, Text(money(Decimal(row["pnl"]), signed=True))
            )
    return [Text(), table]


def replay_page(found: Mapping[str, Any], quote: str, home: str) -> RenderableType:
    """One replay.  found: the fields of its answer."""
    lines: list[RenderableType] = [summary(found, quote, home)]
    lines += [Text(f"Note: {remark}.", style="yellow") for remark in found["remarks"]]
    lines.append(Text(f"Controls: {_controls(found)}.", style="dim"))
    lines.append(Text("Past prices promise nothing.", style="dim"))
    return Group(*lines)


def _controls(found: Mapping[str, Any]) -> str:
    if found["limits"] == "research":
        return "research: filters, stop side and the file's own limits; every other control is off"
    return f"the limits of the account; not applicable to these data: {_names(found['controls_not_applicable'])}"


def _names(codes: Sequence[str]) -> str:
    return ", ".join(codes) or "none"


def sweep_page(found: Mapping[str, Any], quote: str) -> RenderableType:
    """The best of a sweep.  found: the fields of its answer."""
    rows: dict[str, RenderableType] = {
        "Data": f"{found['data']}, {found['candles']:,} candles",
        "Combinations": f"{found['combinations']:,} in {found['seconds']:.2f} s, "
        f"{found['candles_per_s'] / 1e6:.0f} million candles a second",
    }
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for column in ("Parameters", f"Equity, {quote}", "Return", "Trades", "Won"):
        table.add_column(column, justify="left" if column == "Parameters" else "right")
    for one in found["top"]:
        share = f"{100 * one['wins'] / one['trades']:.0f} %" if one["trades"] else "-"
        parameters = ", ".join(f"{name}={value}" for name, value in one["parameters"].items())
        table.add_row(
            parameters, money(Decimal(one["final_equity"])), f"{one['return_pct']:+.2f} %", f"{one['trades']:,}", share
        )
    lines: list[RenderableType] = [heading(f"{found['strategy']} on {found['symbol']}"), pairs(rows), Text(), table]
    lines += [Text(f"Note: {remark}.", style="yellow") for remark in found["remarks"]]
    confirmed = found["confirmed"]
    if confirmed is not None:
        equity = money(Decimal(confirmed["final_equity"]))
        words = f"The best, step by step: {confirmed['trades']:,} trades, {equity} {quote}"
        agrees = confirmed["agrees"]
        lines.append(
            Text(words + ("." if agrees else "; the sweep says otherwise."), style="green" if agrees else "red")
        )
    warning = f"The best of {found['combinations']:,} is partly luck: try it on candles that this search has not seen."
    lines.append(Text(warning, style="yellow"))
    return Group(*lines)


def _trades(found: Mapping[str, Any]) -> str:
    if not found["trades"]:
        return "none"
    rate = found["win_rate_pct"]
    return f"{found['trades']:,}: {found['wins']:,} won, {found['losses']:,} lost ({rate:.1f} % won)"


def _ratio(found: Mapping[str, Any], name: str) -> str:
    if found[name] is None:
        return "unknown"
    return f"{found[name]:.2f} a year ({found[f'{name}_raw']:.3f} a day{_doubt(found)})"


def _doubt(found: Mapping[str, Any]) -> str:
    return "" if found["reliable"] else f", unreliable: {found['unreliable_because']}"


def _number(value: float | str | None) -> str:
    if value == "inf":
        return "infinite, nothing was lost"
    return "unknown" if value is None else f"{value:.2f}"
