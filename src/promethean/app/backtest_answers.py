"""What a backtest answers with: fields for machines, a page with pictures, a file of trades."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promethean.app.backtesting import BacktestReport, run, without_collector
from promethean.app.details import details, over_holes_words, unreliable_because
from promethean.domain.errors import ConfigError
from promethean.domain.instruments import MarketType
from promethean.domain.money import plain
from promethean.domain.orders import OrderRole

if TYPE_CHECKING:
    from promethean.app.backtesting import Bench
    from promethean.evaluation.ledger import Part


@without_collector()
def as_object(report: BacktestReport, *, with_trades: bool) -> dict[str, Any]:
    """The fields of `backtest --json` (DESIGN section 5)."""
    from promethean.domain.instants import format_instant

    bench, result, found = report.bench, report.result, report.metrics
    candles, more, doubt = len(bench.candles), details(report), unreliable_because(report)
    answer: dict[str, Any] = {
        "strategy": bench.file.id,
        "symbol": bench.instrument.symbol,
        "timeframe": bench.timeframe,
        "data": bench.source,
        "tape": bench.tape_name,
        "finer": bench.finer,
        "limits": bench.limits,
        "controls_off": bench.controls_off,
        "controls_not_applicable": bench.controls_not_applicable,
        "candles": candles,
        "from": format_instant(int(bench.candles.open_time_ns[0])),
        "to": format_instant(int(bench.candles.open_time_ns[-1])),
        "coverage_pct": 100 * bench.coverage,
        "remarks": [*bench.remarks, *filter(None, (over_holes_words(report, more), report.unkept))],
        "variants_tried": report.tried.forms,
        "seconds": report.seconds,
        "load_seconds": report.load_seconds,
        "candles_per_s": candles / report.seconds,
        "stepped": result.stepped,
        "unknown_conditions": result.unknown,
        "refusals": sum(result.refusals.values()),
        "refusals_by_reason": dict(result.refusals),
        "trades": found.trades,
        "wins": found.wins,
        "losses": found.losses,
        "start_equity": bench.cash,
        "final_equity": result.books.cash,
        "return_pct": found.return_pct,
        "max_drawdown_pct": found.max_drawdown_pct,
        "sharpe": found.sharpe,
        "sharpe_raw": found.sharpe_raw,
        "sortino": found.sortino,
        "sortino_raw": found.sortino_raw,
        "reliable": doubt is None,
        "unreliable_because": doubt,
        "profit_factor": "inf" if found.profit_factor == math.inf else found.profit_factor,  # JSON has no infinity
        "win_rate_pct": found.win_rate_pct,
        "expected_value": found.expected_value,
        "exposure_pct": found.exposure_pct,
        "buy_and_hold_pct": 100 * (float(bench.candles.close[-1]) / float(bench.candles.open[0]) - 1),
        "fees": result.books.fees,
        "funding": result.books.funding if bench.is_funded else None,  # what nobody measures is not zero
        "leverage": bench.file.leverage,
        "liquidations": sum(trade.reason == OrderRole.LIQUIDATION for trade in result.books.trades),
        **more,
    }
    if with_trades:
        answer["trade_list"] = [trade_row(part, bench.is_funded) for part in result.books.parts]
    return answer


def write_report(report: BacktestReport, path: Path) -> None:
    """The report as one HTML page.  Raises ConfigError when the file cannot be written."""
    from promethean.interfaces.report.page import backtest_page

    bench = report.bench
    found = as_object(report, with_trades=False)
    page = backtest_page(
        found,
        report.result,
        bench.candles.open_time_ns,
        bench.candles.close,
        bench.instrument.quote,
        _other_costs(report),
        _made_of(report),
    )
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}); choose another place for --report") from error


def _other_costs(report: BacktestReport) -> list[dict[str, Any]]:
    """The same backtest with half, the same and double the fees and slippage (SPEC 9.8)."""
    bench, rows = report.bench, []
    for name, factor in (("half", Decimal("0.5")), ("as they are", Decimal(1)), ("double", Decimal(2))):
        terms = dataclasses.replace(
            bench.terms,
            fee_maker=bench.terms.fee_maker * factor,
            fee_taker=bench.terms.fee_taker * factor,
            slippage_bps=bench.terms.slippage_bps * factor,
        )
        books = (report.result if factor == 1 else run(dataclasses.replace(bench, terms=terms))).books
        gain = 100 * (float(books.cash) / float(bench.cash) - 1)
        rows.append({"name": name, "trades": len(books.trades), "equity": books.cash, "return_pct": gain})
    return rows


def _made_of(report: BacktestReport) -> list[tuple[str, str]]:
    bench, terms = report.bench, report.bench.terms
    way = "compiled loop, booked in exact decimals"
    return [
        ("Strategy", f"{bench.file.name}, content {bench.file.config_hash[:12]}"),
        ("Fees", f"maker {100 * terms.fee_maker:.4g} %, taker {100 * terms.fee_taker:.4g} % of each fill"),
        ("Slippage", f"{terms.slippage_bps} basis points for an order as large as its candle's volume"),
        ("Funding", _funding_words(bench)),
        ("Margin", _margin_words(bench)),
        *_tape_row(bench),
        ("Latency", f"{terms.latency_ms} ms"),
        ("Controls", _control_words(bench)),
        ("Market", f"tick {plain(bench.instrument.price_increment)}, lot {plain(bench.instrument.quantity_increment)}"),
        ("Run", way if report.result.stepped is None else f"step by step: {report.result.stepped}"),
    ]


def _tape_row(bench: Bench) -> list[tuple[str, str]]:
    if bench.tape is None:
        return []
    file = bench.tape
    return [("Single trades", f"{len(file.trades):,} of {file.path.name}, content {file.sha256[:12]}")]


def _control_words(bench: Bench) -> str:
    if bench.controls_off is not None:
        return f"off: {bench.controls_off}"
    return (
        f"the limits of the account; not applicable to these data: {', '.join(bench.controls_not_applicable) or 'none'}"
    )


def _funding_words(bench: Bench) -> str:
    if bench.terms.funding is not None:
        return f"{len(bench.terms.funding):,} instants, at the last close before each"
    return "spot pays none" if bench.is_funded else "not known, and not part of the figures"


def _margin_words(bench: Bench) -> str:
    if bench.instrument.market_type is MarketType.SPOT:
        return "none: bought for the whole price"
    maintenance = plain(100 * bench.terms.maintenance)
    return f"isolated, {plain(bench.file.leverage)} x, liquidated below a maintenance margin of {maintenance} %"


def write_trades(parts: Sequence[Part], path: Path, is_funded: bool) -> None:
    """One line for each closed part, as CSV.  is_funded: whether it is known what funding was paid.

    Raises ConfigError when the file cannot be written.
    """
    import csv

    rows = [
        {
            name: plain(value) if isinstance(value, Decimal) else value
            for name, value in trade_row(part, is_funded).items()
        }
        for part in parts
    ]
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, TRADE_COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}); choose another place for --trades") from error


TRADE_COLUMNS = (
    "trade", "entry_time", "exit_time", "side", "quantity", "entry_price", "exit_price", "reason", "fees", "funding",
    "pnl",
)  # fmt: skip


def trade_row(part: Part, is_funded: bool) -> dict[str, Any]:
    """One closed part as a row of the trade list.  is_funded: whether it is known what funding was paid."""
    from promethean.domain.instants import format_instant

    return {
        "trade": part.trade,
        "entry_time": format_instant(part.opened_at_ns),
        "exit_time": format_instant(part.closed_at_ns),
        "side": "long" if part.side.sign > 0 else "short",
        "quantity": part.quantity,
        "entry_price": part.entry_price,
        "exit_price": part.exit_price,
        "reason": part.reason,
        "fees": part.fees,
        "funding": part.funding if is_funded else None,
        "pnl": part.pnl,
    }
