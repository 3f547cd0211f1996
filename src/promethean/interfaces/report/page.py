"""The report of a backtest: one page that needs nothing beside itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from promethean.domain.candles import FloatArray, IntArray
from promethean.evaluation import analysis
from promethean.evaluation.backtest import Backtest
from promethean.evaluation.refusals import refusal_words
from promethean.interfaces.report import pictures

GROUPS = {
    "regime": "By regime at the entry",
    "session": "By session of the entry, UTC",
    "reason": "By reason",
    "side": "By side",
}
FEW = 10  # parts below which nothing is concluded (SPEC 12.2)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def backtest_page(
    found: Mapping[str, Any],
    result: Backtest,
    open_time_ns: IntArray,
    close: FloatArray,
    quote: str,
    costs: Sequence[Mapping[str, Any]],
    made: Sequence[tuple[str, str]],
) -> str:
    """The page as HTML text.

    found: the fields of the backtest's answer.  close: quote units per base unit, shape as `open_time_ns`.
    costs: rows of `name`, `trades`, `equity` and `return_pct` for other costs.  made: how it was made, name and words.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    cash = float(found["start_equity"])
    groups = [{"name": name, "rows": found["groups"][key]} for key, name in GROUPS.items()]
    return environment.get_template("backtest.html.j2").render(
        title=f"{found['strategy']} on {found['symbol']}",
        found=found,
        remarks=_remarks(found),
        cards=_cards(found, quote),
        months=MONTHS,
        years=analysis.monthly_returns(result.equity, open_time_ns, cash),
        setups=found["groups"]["setup"],
        groups=groups,
        few=FEW,
        figures=_figures(found, quote),
        faults=_faults(found),
        costs=costs,
        made=made,
        shown=min(len(result.books.trades), pictures.MARKS_MAX),
        pictures=_pictures(result, open_time_ns, close, quote, cash, found["buy_and_hold_pct"]),
        tone=_tone,
        percent=_percent,
        amount=_amount,
    )


def _pictures(
    result: Backtest, open_time_ns: IntArray, close: FloatArray, quote: str, cash: float, held_pct: float
) -> dict[str, Any]:
    import numpy as np
    from markupsafe import Markup

    hold = close * (cash * (1.0 + held_pct / 100.0) / close[-1])  # bought at the first open, as the card says
    drawn = {
        "equity": pictures.equity_picture(open_time_ns, result.equity, hold, quote),
        "drawdown": pictures.drawdown_picture(open_time_ns, analysis.drawdown(result.equity, cash)),
        "trades": "",
        "profits": "",
    }
    trades = result.books.trades
    if trades:
        newest = {len(trades) - number for number in range(pictures.MARKS_MAX)}
        parts = [part for part in result.books.parts if part.trade in newest]
        entries = [(part.opened_at_ns, float(part.entry_price), True) for part in parts]
        exits = [(part.closed_at_ns, float(part.exit_price), part.pnl > 0) for part in parts]
        # Where not all trades are shown, neither is the time before the first one that is.
        first = 0 if len(parts) == len(result.books.parts) else int(np.searchsorted(open_time_ns, entries[0][0]))
        drawn["trades"] = pictures.trades_picture(open_time_ns[first:], close[first:], entries, exits, quote)
        drawn["profits"] = pictures.profits_picture(np.array([float(trade.pnl) for trade in trades]), quote)
    # Our own drawings, made of numbers alone: nothing in them comes from outside.
    return {name: Markup(picture) for name, picture in drawn.items()}  # noqa: S704


def _remarks(found: Mapping[str, Any]) -> list[str]:
    remarks = [f"{remark}." for remark in found["remarks"]]
    if found["limits"] == "research":
        remarks.append(
            "Research: the venue's filters, the side of the stop, cash and the file's own limits were applied; every "
            "other risk control was off."
        )
    if found["unknown_conditions"]:
        remarks.append(f"A condition could not be answered {found['unknown_conditions']:,} times: not met.")
    if (words := refusal_words(found["refusals_by_reason"])) is not None:
        remarks.append(words)
    if not found["reliable"]:
        why = found["unreliable_because"].capitalize()
        remarks.append(f"{why}: Sharpe, Sortino and Calmar are unreliable.")
    return remarks


def _cards(found: Mapping[str, Any], quote: str) -> list[dict[str, str]]:
    rate = found["win_rate_pct"]
    factor = found["profit_factor"]
    doubt = "" if found["reliable"] else ", unreliable"
    return [
        _card("Return", f"{found['return_pct']:+.2f} %", found["return_pct"]),
        _card("Buy and hold", f"{found['buy_and_hold_pct']:+.2f} %"),
        _card(f"Final equity, {quote}", _amount(Decimal(found["final_equity"]))),
        _card("Largest drawdown", f"{found['max_drawdown_pct']:.2f} %"),
        _card("Trades", f"{found['trades']:,}"),
        _card("Won", "unknown" if rate is None else f"{rate:.1f} %"),
        _card("Profit factor", factor if isinstance(factor, str) else _ratio(factor)),
        _card(f"Sharpe, a year{doubt}", _ratio(found["sharpe"])),
        _card(f"Sortino, a year{doubt}", _ratio(found["sortino"])),
        _card(f"Fees, {quote}", _amount(Decimal(found["fees"]))),
        *_funding_card(found["funding"], quote),
        _card("In the market", f"{found['exposure_pct']:.1f} %"),
    ]


def _funding_card(paid: Any, quote: str) -> list[dict[str, str]]:
    """What funding came to: nothing where there was none; what is received is below zero."""
    if paid is None:
        return [_card("Funding", "unknown")]
    return [_card(f"Funding paid, {quote}", _amount(Decimal(paid)))] if Decimal(paid) else []


def _card(name: str, value: str, judged: float | None = None) -> dict[str, str]:
    return {"name": name, "value": value, "tone": _tone(judged)}


def _figures(found: Mapping[str, Any], quote: str) -> list[tuple[str, str]]:
    """The other figures, name and value; what cannot be known is called unknown."""

    def money(name: str) -> str:
        value = found[name]
        return "unknown" if value is None else f"{value:+,.2f} {quote}"

    def share(name: str) -> str:
        value = found[name]
        return "unknown" if value is None else f"{value:+.2f} %"

    hold, costs = found["average_hold_minutes"], found["cost_share_pct"]
    doubt = "" if found["reliable"] else ", unreliable"
    return [
        ("Expected of a trade", money("expected_value")),
        ("Average win, average loss", f"{money('average_win')}, {money('average_loss')}"),
        ("Best, worst trade", f"{money('best')}, {money('worst')}"),
        ("Longest run of wins, of losses", f"{found['win_streak']}, {found['loss_streak']}"),
        ("Average hold", "unknown" if hold is None else _duration(hold)),
        ("Went against a trade: average, worst (MAE)", f"{share('mae_pct')}, {share('mae_worst_pct')}"),
        ("Went with a trade: average, best (MFE)", f"{share('mfe_pct')}, {share('mfe_best_pct')}"),
        ("Largest drawdown", f"{money('max_drawdown')}{_drawdown_days(found)}"),
        ("Calmar: return a year over the largest drawdown", _ratio(found["calmar"]) + doubt),
        *_liquidations(found),
        ("Turnover: entries over the cash at the start", f"{found['turnover']:.1f}"),
        ("Fees, of what the gaining trades gained before them", "unknown" if costs is None else f"{costs:.1f} %"),
        ("Forms of this strategy tried on the same data, as far as is known", f"{found['variants_tried']:,}"),
    ]


def _liquidations(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    if found["leverage"] == 1 and not found["liquidations"]:
        return []
    return [("Positions liquidated, with their whole margin lost", f"{found['liquidations']:,}")]


def _faults(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    faults = found["data_faults"]
    rows = [
        ("Coverage", f"{found['coverage_pct']:.2f} % of the candles between the first and the last"),
        ("Missing", f"{faults['missing_candles']:,} candles in {faults['holes']:,} holes"),
        ("Without volume", f"{faults['candles_without_volume']:,} candles"),
    ]
    if faults["holes"]:
        longest = f"{faults['longest_hole_candles']:,} candles, from {faults['longest_hole_from']} UTC"
        rows.insert(2, ("Longest hole", longest))
    return rows


def _duration(minutes: float) -> str:
    if minutes < 120:
        return f"{minutes:.0f} minutes"
    return f"{minutes / 60:.1f} hours" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"


def _drawdown_days(found: Mapping[str, Any]) -> str:
    if found["drawdown_from"] is None:
        return ""
    back = found["drawdown_recovered"]
    return f", {found['drawdown_from']} to {found['drawdown_to']}, " + (
        f"made good {back}" if back else "not made good"
    )


def _ratio(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


def _tone(value: Any) -> str:
    if value is None or not value:
        return ""
    return "good" if value > 0 else "bad"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}"


def _amount(value: Decimal) -> str:
    return f"{value:,.2f}"
