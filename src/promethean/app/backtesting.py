"""Backtests: a strategy file over recorded candles, without a database and without a wait."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

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
from promethean.app.finer import inside
from promethean.app.funding import UNFUNDED, funding_table
from promethean.app.recordings import read_recording
from promethean.app.register import explaining, register_everything
from promethean.app.trades import trades_beside
from promethean.app.variants import remember
from promethean.config.tree import Settings
from promethean.domain.candles import timeframe_ns
from promethean.domain.errors import ConfigError
from promethean.domain.instruments import MarketType
from promethean.domain.money import plain
from promethean.strategies.exits_section import FAR

if TYPE_CHECKING:
    from promethean.domain.books import BookSeries
    from promethean.domain.candles import CandleSeries
    from promethean.domain.instruments import Instrument
    from promethean.domain.trades import TradeSeries
    from promethean.engine.desk import Desk
    from promethean.evaluation.backtest import Backtest
    from promethean.evaluation.metrics import Metrics
    from promethean.exchanges.paper.venue import PaperTerms
    from promethean.storage.trade_files import TradeFile
    from promethean.storage.variants import Tried
    from promethean.strategies.arrays import ArrayStrategy
    from promethean.strategies.catalogue import Strategy
    from promethean.strategies.file import StrategyFile
    from promethean.strategies.frame import Frame

RESEARCH, USER = "research", "user"
COVERAGE_TOLD, COVERAGE_NEEDED = 0.99, 0.95
CASH = Decimal(10_000)
CASH_MIN, CASH_MAX = Decimal("0.01"), Decimal(10) ** 12  # beyond, the digits of a float do not reach to the cent


@dataclass(frozen=True, slots=True)
class BacktestOptions:
    """What `backtest` was asked to do.

    since, until: aware instants, the candles that open from the one on and before the other; None: all.
    limits:       `research` or `user`.
    funding:      a file of funding rates; None: nobody knows them.
    tape:         a file of single trades; None: there are none.
    finer:        finer candles of the same market, a file or a stored series; None: none but stored ones.
    """

    strategy: str
    data: str
    overrides: Mapping[str, str] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    cash: Decimal = CASH
    limits: str = "research"
    allow_gaps: bool = False
    funding: str | None = None
    tape: str | None = None
    finer: str | None = None


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything a backtest needs, read and checked.

    coverage: candles there are for each that there should be between the first and the last.
    remarks:  what is to be said about the data, the strategy and plug-ins.
    sha256:   of the file that the candles were read from.  is_part: whether it holds others as well.
    books:    order books at the close of each candle, where the data hold them.
    tape:     the file of single trades, cut to these candles, where one was given.
    finer:    the finer candles that were given, by name.
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
    books: BookSeries | None = None
    tape: TradeFile | None = None
    finer: str | None = None

    @property
    def controls_off(self) -> str | None:
        """Which risk controls are not asked, in words; None where all are."""
        if self.limits == USER:
            return None
        return "every control of the account but filters, stop side and the file's own limits"

    @property
    def controls_not_applicable(self) -> tuple[str, ...]:
        """Which controls pass because the data declare what they look at absent: none, an unknown value refuses."""
        return ()

    @property
    def is_funded(self) -> bool:
        """Whether it is known what positions pay for funding: nothing on spot."""
        return self.instrument.market_type is MarketType.SPOT or self.terms.funding is not None

    @property
    def tape_name(self) -> str | None:
        """The file of single trades, for people; None where none was given."""
        return None if self.tape is None else self.tape.path.name

    @property
    def trades(self) -> TradeSeries | None:
        """The single trades of these candles, where they were given."""
        return None if self.tape is None else self.tape.trades

    def frame(self) -> Frame:
        """The candles with what is beside them, as a strategy reads them; it remembers nothing yet."""
        from promethean.strategies.frame import Frame

        return Frame(self.candles, self.timeframe, self.books, self.trades)

    def strategy(self) -> Strategy | ArrayStrategy:
        """The strategy at this market."""
        return make_strategy(self.file, self.instrument, self.timeframe, self.settings)


@dataclass(frozen=True, slots=True)
class BacktestReport:
    """What a backtest came to, with what it was made of.

    tried:   on the same data with the same strategy by now.  unkept: why that is not on record, if it is not.
    seconds: of the run.  load_seconds: of reading the data.
    """

    bench: Bench
    result: Backtest
    metrics: Metrics
    tried: Tried
    unkept: str | None
    seconds: float
    load_seconds: float


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Facts are made by the thousand and hold no cycles: nothing to collect until the end."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@without_collector()
def run_backtest(settings: Settings, options: BacktestOptions) -> BacktestReport:
    """Run a strategy over recorded candles, and keep on record that it was tried.

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
    tried, unkept = remember(bench, "backtest", metrics.sharpe_raw)
    return BacktestReport(bench, result, metrics, tried, unkept, seconds, loaded - began)


def prepare(settings: Settings, options: BacktestOptions) -> Bench:
    """Read strategy and candles, and check that they fit.  Raises ConfigError naming what does not."""
    from promethean.strategies.arrays import remarks_of

    plugins = register_everything()
    if options.limits not in (RESEARCH, USER):
        raise ConfigError(f"--limits is {options.limits!r}; write research or user")
    if not CASH_MIN <= options.cash <= CASH_MAX:
        raise ConfigError(f"--cash is {options.cash:g}; it lies between {CASH_MIN} and {CASH_MAX:,}")
    with explaining(plugins):
        file = load_strategy(find_strategy_file(settings, options.strategy), options.overrides)
    remarks = list(plugins.broken)
    recording = read_recording(settings, options.data, file, remarks.append)
    whole, instrument, timeframe, source, sha256, books = recording
    if timeframe_ns(timeframe) < timeframe_ns(file.timeframe):
        remarks.append(f"the file's candles of {timeframe} are the primary ones, not {file.timeframe}")
    candles = _cut(whole, options)
    if books is not None:
        first = int(whole.open_time_ns.searchsorted(candles.open_time_ns[0]))
        books = books.rows(slice(first, first + len(candles)))
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
    if options.funding is not None:
        terms = dataclasses.replace(terms, funding=funding_table(options.funding, instrument, candles, remarks.append))
    elif instrument.market_type is MarketType.FUTURES:
        remarks.append(UNFUNDED)
    if file.leverage != 1 and instrument.market_type is MarketType.SPOT:
        raise ConfigError(
            f"market.leverage is {plain(file.leverage)}, and {source} is of {instrument.symbol}, a spot market, which "
            "has none; give candles of the perpetual, or set market.leverage=1 and a size below 100 %"
        )
    if (beyond := _stop_beyond_margin(file, instrument, terms)) is not None:
        remarks.append(beyond)
    strategy, tape = make_strategy(file, instrument, timeframe, settings), None
    if options.tape is not None:
        tape = trades_beside(options.tape, instrument, candles, timeframe, remarks.append)
    given = None if tape is None else tape.trades
    recording = recording._replace(candles=candles)
    terms = dataclasses.replace(terms, intrabar=inside(settings, options.finer, recording, file, given, remarks.append))
    bench = Bench(
        file, instrument, timeframe, candles, terms, options.cash, source, coverage, tuple(remarks), settings,
        options.limits, sha256, candles is not whole, books, tape, options.finer and Path(options.finer).name,
    )  # fmt: skip
    return dataclasses.replace(bench, remarks=(*remarks, *remarks_of(strategy, bench.frame())))


def _stop_beyond_margin(file: StrategyFile, instrument: Instrument, terms: PaperTerms) -> str | None:
    """That the venue takes positions away before their stop is reached; None where the stop comes first."""
    room, stop = 1 / file.leverage - terms.maintenance, file.exits.protection.stop_loss
    is_measured = file.exits.atr_stop is not None and stop == FAR  # in ranges alone: its distance differs each time
    if instrument.market_type is MarketType.SPOT or is_measured or stop <= room:
        return None
    lower = " or lower market.leverage" if file.leverage > 1 else ""
    return (
        f"the stop at {plain(100 * stop)} % lies beyond the liquidation, {plain(round(100 * room, 4))} % from the "
        f"entry at {plain(file.leverage)} x: the margin is lost first; bring the stop closer{lower}"
    )


def run(bench: Bench, strategy: ArrayStrategy | None = None) -> Backtest:
    """The backtest itself.  strategy: another one than the file's, under the rules of the file."""
    from promethean.evaluation.backtest import backtest
    from promethean.evaluation.rules import Rules
    from promethean.strategies.arrays import ArrayStrategy, Prepared

    made = strategy if strategy is not None else bench.strategy()
    array = made if isinstance(made, ArrayStrategy) else None
    frame = bench.frame()
    rules = None
    if bench.limits == RESEARCH and not bench.file.limits:
        rules = Rules(desk_of(bench, None).seats[0], bench.terms, bench.cash)

    def desk() -> Desk:
        desk = desk_of(bench, bench.candles)
        if strategy is None:
            return desk
        return replace(desk, seats=(replace(desk.seats[0], strategy=Prepared(strategy, frame)),))

    with without_collector():
        return backtest(array, frame, desk, bench.terms, bench.cash, rules=rules)


def desk_of(bench: Bench, recorded: CandleSeries | None) -> Desk:
    """The desk of a backtest.  recorded: the candles that the strategy is prepared on; None: it is not asked."""
    from promethean.domain.ids import ShortNames
    from promethean.exchanges.paper.venue import PaperVenue

    record = account_limits(bench.settings)
    frame = None if recorded is None else bench.frame()
    desk = make_desk(
        bench.settings, bench.file, bench.instrument, bench.timeframe, record, PaperVenue.capabilities, frame,
        is_asked=recorded is not None,
    )  # fmt: skip
    if bench.limits == RESEARCH:
        desk = research_desk(desk, bench.file)
    return replace(desk, names=ShortNames(), explains=False)


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
    times = candles.open_time_ns
    expected = (int(times[-1]) - int(times[0])) // timeframe_ns(timeframe) + 1
    return len(times) / expected
