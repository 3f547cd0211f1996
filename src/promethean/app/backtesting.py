"""Backtests: a strategy file over recorded candles, without a database and without a wait."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from promethean.app.desk import (
    account_limits,
    find_strategy_file,
    load_strategy,
    make_desk,
    make_strategy,
    paper_terms,
    research_desk,
    with_filters,
)
from promethean.app.register import explaining, register_everything
from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError
from promethean.domain.money import plain

if TYPE_CHECKING:
    from promethean.domain.candles import CandleSeries
    from promethean.domain.instruments import Instrument
    from promethean.engine.desk import Desk
    from promethean.evaluation.backtest import Backtest
    from promethean.evaluation.ledger import Part
    from promethean.evaluation.metrics import Metrics
    from promethean.evaluation.rules import Rules
    from promethean.evaluation.sweep import Outcome
    from promethean.exchanges.paper.venue import PaperTerms
    from promethean.strategies.arrays import ArrayStrategy
    from promethean.strategies.catalogue import Strategy
    from promethean.strategies.file import StrategyFile

RESEARCH, USER = "research", "user"
COVERAGE_TOLD, COVERAGE_NEEDED = 0.99, 0.95
CASH = Decimal(10_000)
CASH_MIN, CASH_MAX = Decimal("0.01"), Decimal(10) ** 12  # beyond, the digits of a float do not reach to the cent
AGREES = 0.01  # quote units between the compiled loop and the books


@dataclass(frozen=True, slots=True)
class BacktestOptions:
    """What `backtest` was asked to do.

    since, until: aware instants, the candles that open from the one on and before the other; None: all.
    limits:       `research` or `user`.
    """

    strategy: str
    data: str
    overrides: Mapping[str, str] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    cash: Decimal = CASH
    limits: str = "research"
    allow_gaps: bool = False


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything a backtest needs, read and checked.

    coverage: candles there are for each that there should be between the first and the last.
    remarks:  what is to be said about the data and about plug-ins.
    sha256:   of the file that the candles were read from.  is_part: whether it holds others as well.
    """

    file: StrategyFile
    instrument: Instrument
    timeframe: str
    candles: CandleSeries
    terms: PaperTerms
    cash: Decimal
    source: str
    coverage: float
    remarks: tuple[str, ...]
    settings: Settings
    limits: str
    sha256: str
    is_part: bool

    @property
    def controls_off(self) -> str | None:
        """Which risk controls are not asked, in words; None where all are."""
        if self.limits == USER:
            return None
        return "every control of the account but filters, stop side and the file's own limits"

    def strategy(self) -> Strategy | ArrayStrategy:
        """The strategy at this market."""
        return make_strategy(self.file, self.instrument, self.timeframe)


@dataclass(frozen=True, slots=True)
class BacktestReport:
    """What a backtest came to, with what it was made of.  seconds: of the run; load_seconds: of reading the data."""

    bench: Bench
    result: Backtest
    metrics: Metrics
    seconds: float
    load_seconds: float


def run_backtest(settings: Settings, options: BacktestOptions) -> BacktestReport:
    """Run a strategy over recorded candles.

    Raises ConfigError for a strategy file, data or a range that cannot be used.
    """
    from promethean.evaluation.metrics import measure

    began = time.perf_counter()
    bench = prepare(settings, options)
    loaded = time.perf_counter()
    result = run(bench)
    seconds = time.perf_counter() - loaded
    candles = bench.candles
    metrics = measure(result.books, result.equity, float(bench.cash), candles.open_time_ns)
    return BacktestReport(bench, result, metrics, seconds, loaded - began)


def prepare(settings: Settings, options: BacktestOptions) -> Bench:
    """Read strategy and candles, and check that they fit.  Raises ConfigError naming what does not."""
    plugins = register_everything()
    if options.limits not in (RESEARCH, USER):
        raise ConfigError(f"--limits is {options.limits!r}; write research or user")
    if not CASH_MIN <= options.cash <= CASH_MAX:
        raise ConfigError(f"--cash is {options.cash:g}; it lies between {CASH_MIN} and {CASH_MAX:,}")
    with explaining(plugins):
        file = load_strategy(find_strategy_file(settings, options.strategy), options.overrides)
    remarks = list(plugins.broken)
    candles, instrument, timeframe, source, sha256 = _read(settings, options.data, file, remarks.append)
    whole, candles = candles, _cut(candles, options)
    coverage = _coverage(candles, timeframe)
    if coverage < COVERAGE_NEEDED and not options.allow_gaps:
        raise ConfigError(
            f"{source} has {coverage:.2%} of the candles between its first and its last, below {COVERAGE_NEEDED:.0%}; "
            "fill the gaps, choose another range with --from and --to, or give --allow-gaps"
        )
    if coverage < COVERAGE_TOLD:
        remarks.append(f"{1 - coverage:.2%} of the candles are missing")
    instrument = with_filters(instrument, file.simulation)
    terms = paper_terms(settings, instrument, file.simulation)
    return Bench(
        file, instrument, timeframe, candles, terms, options.cash, source, coverage, tuple(remarks), settings,
        options.limits, sha256, candles is not whole,
    )  # fmt: skip


def run(bench: Bench, strategy: ArrayStrategy | None = None) -> Backtest:
    """The backtest itself.  strategy: another one than the file's, under the rules of the file."""
    from promethean.evaluation.backtest import backtest
    from promethean.evaluation.rules import Rules
    from promethean.strategies.arrays import ArrayStrategy, Prepared
    from promethean.strategies.frame import Frame

    made = strategy if strategy is not None else bench.strategy()
    array = made if isinstance(made, ArrayStrategy) else None
    frame = Frame(bench.candles, bench.timeframe)
    rules = None
    if bench.limits == RESEARCH and not bench.file.limits:
        rules = Rules(desk_of(bench, None).seats[0], bench.terms, bench.cash)

    def desk() -> Desk:
        desk = desk_of(bench, bench.candles)
        if strategy is None:
            return desk
        return replace(desk, seats=(replace(desk.seats[0], strategy=Prepared(strategy, frame)),))

    with _without_collector():
        return backtest(array, frame, desk, bench.terms, bench.cash, rules=rules)


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep came to.  confirmed: the best set, run again as a backtest, step by step."""

    bench: Bench
    outcomes: list[Outcome]
    seconds: float
    load_seconds: float
    confirmed: Confirmed | None


def run_sweep(
    settings: Settings, options: BacktestOptions, params: Sequence[str], done: Callable[[int, int], None]
) -> SweepReport:
    """Every combination of the parameters over the same candles; the best one is confirmed step by step.

    params: `period=6:24:2`, names of the file's parameters or paths of its other keys.
    done:   is told combinations done and to do.
    Raises ConfigError for what cannot be used, and for rules that only a backtest can carry.
    """
    from promethean.evaluation.stepped import SteppedBacktest

    began = time.perf_counter()
    bench = prepare(settings, options)
    loaded = time.perf_counter()
    outcomes = sweep_outcomes(bench, options, params, done)
    seconds = time.perf_counter() - loaded
    confirmed = None
    if outcomes:
        best = max(outcomes, key=lambda outcome: outcome.final_equity)
        chosen = dataclasses.replace(options, overrides={**options.overrides, **best.parameters})
        file = load_strategy(find_strategy_file(settings, options.strategy), chosen.overrides)
        again = _varied(bench, file)
        books = SteppedBacktest(desk_of(again, again.candles), again.terms, again.candles, again.cash).run()
        confirmed = Confirmed(best, len(books.trades), books.cash)
    return SweepReport(bench, outcomes, seconds, loaded - began, confirmed)


def sweep_outcomes(
    bench: Bench, options: BacktestOptions, params: Sequence[str], done: Callable[[int, int], None] = lambda *_: None
) -> list[Outcome]:
    """The outcome of every combination; arguments and errors as in `run_sweep`."""
    from promethean.evaluation.sweep import combinations, parse_range, sweep
    from promethean.strategies.frame import Frame

    ranges = [parse_range(text) for text in params]
    if not ranges:
        raise ConfigError("there is nothing to vary; give for example --param period=6:24:2")
    wanted = list(combinations(ranges))
    frame = Frame(bench.candles, bench.timeframe)
    with _without_collector():
        return sweep(_variants(bench, options, wanted), frame, lambda count: done(count, len(wanted)))


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The best outcome of a sweep beside its backtest through the engine.  final_equity: quote units."""

    best: Outcome
    trades: int
    final_equity: Decimal


def _variants(
    bench: Bench, options: BacktestOptions, wanted: Sequence[Mapping[str, str]]
) -> Iterator[tuple[Mapping[str, str], ArrayStrategy, Rules]]:
    """Strategy and rules of every combination; the file is read again only where a key of it changes."""
    from promethean.evaluation.rules import Rules
    from promethean.strategies.arrays import ArrayStrategy
    from promethean.strategies.conditional import ConditionStrategy

    path = find_strategy_file(bench.settings, options.strategy)
    own = set(bench.file.parameters)
    strategy = bench.strategy()
    if not isinstance(strategy, ArrayStrategy):
        raise ConfigError(f"{bench.file.id} is asked at every event and stepped; a sweep cannot, use backtest --set")
    rules = Rules(desk_of(bench, None).seats[0], bench.terms, bench.cash)
    for parameters in wanted:
        file = bench.file
        if not set(parameters) <= own or not isinstance(strategy, ConditionStrategy):
            file = load_strategy(path, {**options.overrides, **parameters})
            varied = _varied(bench, file)
            made = varied.strategy()
            assert isinstance(made, ArrayStrategy), "the class does not change with a parameter"
            rules_of = Rules(desk_of(varied, None).seats[0], varied.terms, bench.cash)
        else:
            values = {**bench.file.parameters, **{name: Decimal(value) for name, value in parameters.items()}}
            made, rules_of = strategy.at(values), rules
        reason = "limits that the file sets" if file.limits else rules_of.needs_steps()
        if reason is not None:
            raise ConfigError(f"a sweep does not know {reason}; use backtest for it")
        yield parameters, made, rules_of


def _varied(bench: Bench, file: StrategyFile) -> Bench:
    """The same candles under another form of the strategy file, which may change the venue and its filters too."""
    instrument = with_filters(bench.instrument, file.simulation)
    terms = paper_terms(bench.settings, instrument, file.simulation)
    return dataclasses.replace(bench, file=file, instrument=instrument, terms=terms)


def sweep_object(report: SweepReport, top: int) -> dict[str, Any]:
    """The fields of `sweep --json` (DESIGN section 5)."""
    bench, count = report.bench, len(report.outcomes)
    ranked = sorted(report.outcomes, key=lambda outcome: outcome.final_equity, reverse=True)
    confirmed = report.confirmed
    return {
        "strategy": bench.file.id,
        "symbol": bench.instrument.symbol,
        "data": bench.source,
        "candles": len(bench.candles),
        "remarks": list(bench.remarks),
        "combinations": count,
        "trades": sum(outcome.trades for outcome in report.outcomes),
        "seconds": report.seconds,
        "load_seconds": report.load_seconds,
        "seconds_per_combination": report.seconds / count,
        "candles_per_s": count * len(bench.candles) / report.seconds,
        "start_equity": bench.cash,
        "top": [_outcome_row(outcome) for outcome in ranked[:top]],
        "confirmed": None
        if confirmed is None
        else {
            "parameters": dict(confirmed.best.parameters),
            "trades": confirmed.trades,
            "final_equity": confirmed.final_equity,
            "agrees": confirmed.trades == confirmed.best.trades
            and abs(float(confirmed.final_equity) - confirmed.best.final_equity) <= AGREES,
        },
    }


def _outcome_row(outcome: Outcome) -> dict[str, Any]:
    return {
        "parameters": dict(outcome.parameters),
        "trades": outcome.trades,
        "wins": outcome.wins,
        "final_equity": f"{outcome.final_equity:.2f}",
        "return_pct": outcome.return_pct,
    }


def desk_of(bench: Bench, recorded: CandleSeries | None) -> Desk:
    """The desk of a backtest.  recorded: the candles that the strategy is prepared on; None: it is not asked."""
    from promethean.domain.candles import CandleSeries
    from promethean.domain.ids import ShortNames
    from promethean.exchanges.paper.venue import PaperVenue

    record = account_limits(bench.settings)
    # Without candles it is still a recording: what only a live feed cannot do is not refused here.
    candles = recorded if recorded is not None else CandleSeries(1)
    desk = make_desk(
        bench.settings, bench.file, bench.instrument, bench.timeframe, record, PaperVenue.capabilities, candles
    )
    if bench.limits == RESEARCH:
        desk = research_desk(desk, bench.file)
    return replace(desk, names=ShortNames(), explains=False)


def _read(
    settings: Settings, data: str, file: StrategyFile, say: Callable[[str], None]
) -> tuple[CandleSeries, Instrument, str, str, str]:
    from promethean.domain.candles import timeframe_ns
    from promethean.runtime.clock import SystemClock
    from promethean.runtime.feeds import chosen

    if is_series(data):
        return _read_stored(settings, data)
    wanted = chosen.Wanted(file.exchange, file.base, file.quote, file.market_type, file.timeframe, None)
    feed = chosen.file_feed(data, wanted, SystemClock(), say)
    if timeframe_ns(feed.timeframe) < timeframe_ns(file.timeframe):
        say(f"the file's candles of {feed.timeframe} are the primary ones, not {file.timeframe}")
    (instrument,) = feed.instruments.values()
    return feed.recorded, instrument, feed.timeframe, Path(data).name, feed.sha256


def is_series(data: str) -> bool:
    """Whether `--data` names a stored series, `binance:BTC/USDT:1m`, and not a file."""
    return data.count(":") == 2 and not Path(data).exists()


def _read_stored(settings: Settings, series: str) -> tuple[CandleSeries, Instrument, str, str, str]:
    from promethean.app.data import has_market_store, market_store, stored_key
    from promethean.domain.candles import CandleSeries
    from promethean.runtime.feeds.columns import CandleColumns, recorded_instrument
    from promethean.storage.candle_files import MarketName

    if not has_market_store(settings):
        raise ConfigError(f"nothing is stored yet of {series}; import it with: promethean data import FILE")
    with market_store(settings) as store:
        key = stored_key(store, series)
        found = store.candles(key)
    market = MarketName.parse(series.rpartition(":")[0])
    columns = CandleColumns(found.open_time_ns, found.open, found.high, found.low, found.close, found.volume)
    instrument = recorded_instrument(columns, market.exchange, market.base, market.quote, market.market_type)
    prices = (found.open, found.high, found.low, found.close, found.volume)
    digest = hashlib.sha256(b"".join(column.tobytes() for column in (found.open_time_ns, *prices))).hexdigest()
    candles = CandleSeries.from_columns(found.open_time_ns, prices, keep=len(found))
    return candles, instrument, key.timeframe, series, digest


def _cut(candles: CandleSeries, options: BacktestOptions) -> CandleSeries:
    import numpy as np

    from promethean.domain.candles import CandleSeries
    from promethean.domain.instants import format_instant

    times = candles.open_time_ns
    start, stop = 0, len(times)
    if options.since is not None:
        start = int(np.searchsorted(times, int(options.since.timestamp()) * 10**9))
    if options.until is not None:
        stop = int(np.searchsorted(times, int(options.until.timestamp()) * 10**9))
    if start >= stop:
        first, last = (format_instant(int(times[place])) for place in (0, -1))
        raise ConfigError(f"no candle is in the range of --from and --to; the data has {first} to {last}")
    if (start, stop) == (0, len(times)):
        return candles
    columns = (candles.open, candles.high, candles.low, candles.close, candles.volume)
    return CandleSeries.from_columns(times[start:stop], [c[start:stop] for c in columns], keep=stop - start)


def _coverage(candles: CandleSeries, timeframe: str) -> float:
    from promethean.domain.candles import timeframe_ns

    times = candles.open_time_ns
    expected = (int(times[-1]) - int(times[0])) // timeframe_ns(timeframe) + 1
    return len(times) / expected


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Facts are made by the thousand and hold no cycles: nothing to collect until the end."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def as_object(report: BacktestReport, *, with_trades: bool) -> dict[str, Any]:
    """The fields of `backtest --json` (DESIGN section 5)."""
    from promethean.domain.instants import format_instant

    bench, result, found = report.bench, report.result, report.metrics
    candles = len(bench.candles)
    answer: dict[str, Any] = {
        "strategy": bench.file.id,
        "symbol": bench.instrument.symbol,
        "timeframe": bench.timeframe,
        "data": bench.source,
        "limits": bench.limits,
        "controls_off": bench.controls_off,
        "candles": candles,
        "from": format_instant(int(bench.candles.open_time_ns[0])),
        "to": format_instant(int(bench.candles.open_time_ns[-1])),
        "coverage_pct": 100 * bench.coverage,
        "remarks": list(bench.remarks),
        "seconds": report.seconds,
        "load_seconds": report.load_seconds,
        "candles_per_s": candles / report.seconds,
        "stepped": result.stepped,
        "unknown_conditions": result.unknown,
        "refusals": result.refusals,
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
        "reliable": found.days >= 30,
        "profit_factor": "inf" if found.profit_factor == math.inf else found.profit_factor,  # JSON has no infinity
        "win_rate_pct": found.win_rate_pct,
        "expected_value": found.expected_value,
        "exposure_pct": found.exposure_pct,
        "buy_and_hold_pct": 100 * (float(bench.candles.close[-1]) / float(bench.candles.open[0]) - 1),
        "fees": result.books.fees,
        "funding": Decimal(0),
    }
    if with_trades:
        answer["trade_list"] = [trade_row(part) for part in result.books.parts]
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
        ("Latency", f"{terms.latency_ms} ms"),
        ("Market", f"tick {plain(bench.instrument.price_increment)}, lot {plain(bench.instrument.quantity_increment)}"),
        ("Coverage", f"{100 * bench.coverage:.2f} % of the candles between the first and the last"),
        ("Run", way if report.result.stepped is None else f"step by step: {report.result.stepped}"),
    ]


def write_trades(parts: Sequence[Part], path: Path) -> None:
    """One line for each closed part, as CSV.  Raises ConfigError when the file cannot be written."""
    import csv

    rows = [
        {name: plain(value) if isinstance(value, Decimal) else value for name, value in trade_row(part).items()}
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
    "trade", "entry_time", "exit_time", "side", "quantity", "entry_price", "exit_price", "reason", "fees", "pnl",
)  # fmt: skip


def trade_row(part: Part) -> dict[str, Any]:
    """One closed part as a row of the trade list."""
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
        "pnl": part.pnl,
    }
