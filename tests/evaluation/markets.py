"""Random markets, rules and array strategies for the tests of backtests."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import strategies as st
from msgspec.structs import replace

from promethean.domain.candles import CandleSeries
from promethean.domain.funding import FundingTable
from promethean.domain.ids import ShortNames, StrategyId
from promethean.domain.instruments import Instrument, MarketType, instrument_id
from promethean.domain.intrabar import Intrabar
from promethean.domain.margin import Margin
from promethean.domain.orders import Hold, OrderType, Protection, Tier, Trail
from promethean.domain.sizing import Sizing
from promethean.engine.decide import Aggregation
from promethean.engine.desk import Desk, OnOpposite, Seat
from promethean.evaluation.backtest import find_path
from promethean.evaluation.ledger import Books, keep_books
from promethean.evaluation.rules import Rules
from promethean.exchanges.paper.venue import PaperTerms
from promethean.risk.check import RESEARCH, Controls
from promethean.risk.limits import Limits
from promethean.strategies.arrays import Prepared, Said
from promethean.strategies.conditions.parser import parse
from promethean.strategies.conditions.program import Plan, Program
from promethean.strategies.conditions.scope import Scope
from promethean.strategies.frame import Frame
from promethean.strategies.held import Held

D = Decimal
MINUTE_NS = 60 * 10**9
TIERS: tuple[tuple[tuple[str, str], ...], ...] = (
    (),
    (("0.02", "1"),),
    (("0.01", "0.5"), ("0.03", "0.5")),
    (("0.002", "0.33"), ("0.004", "0.33"), ("0.006", "0.34")),
    (("0.003", "0.25"),),
)
START_NS = 1_700_000_040 * 10**9


class Scripted:
    """Says what the test says."""

    window = 1

    def __init__(
        self, instrument: Instrument, side: Any, leave: Any, stop: Any = None, targets: Any = (), exit: Any = None
    ) -> None:
        self.id, self.instrument, self.timeframe = StrategyId("scripted"), instrument.id, "1m"
        self.said = Said(
            np.array(side, np.int8), np.array(leave, np.int8), np.ones(len(side)), {"n": np.arange(float(len(side)))},
            stop=stop, targets=targets, exit=exit,
        )  # fmt: skip

    def say(self, frame: Frame) -> Said:
        return self.said

    def reason(self, said: Said, at: int) -> str:
        return f"candle {at}"

    def exit_reason(self, said: Said, at: int, held: Held) -> str:
        return f"candle {at}, {held}"


def market(tick: str, lot: str, *, futures: bool, notional_min: str = "0") -> Instrument:
    kind = MarketType.FUTURES if futures else MarketType.SPOT
    identity = instrument_id("binance", "BTC", "USDT", kind)
    return Instrument(identity, "binance", "BTC", "USDT", kind, D(tick), D(lot), D(lot), D(notional_min))


@st.composite
def paths(draw: st.DrawFn, tick: float, candles: int) -> CandleSeries:
    """Candles on the tick grid, from calm to wild, with gaps between close and open and candles without volume."""
    seed = draw(st.integers(0, 2**32 - 1))
    wild = draw(st.sampled_from([0.0005, 0.002, 0.01]))
    gaps = draw(st.sampled_from([0.0, 0.3]))
    silent = draw(st.sampled_from([0.0, 0.05]))
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, wild, candles)))
    jump = np.where(random.random(candles) < gaps, random.normal(0, 2 * wild, candles), 0.0)
    opened = np.concatenate(([100.0], close[:-1])) * np.exp(jump)
    high = np.maximum(opened, close) * np.exp(np.abs(random.normal(0, wild, candles)))
    low = np.minimum(opened, close) * np.exp(-np.abs(random.normal(0, wild, candles)))
    grid = [np.maximum(np.round(column / tick), 1) * tick for column in (opened, high, low, close)]
    places = max(0, round(-np.log10(tick)) + 1)
    opened, high, low, close = (np.round(column, places) for column in grid)
    volume = np.where(random.random(candles) < silent, 0.0, np.round(random.lognormal(2, 1, candles) + 0.01, 3))
    times = START_NS + MINUTE_NS * np.arange(candles, dtype=np.int64)
    return CandleSeries.from_columns(times, (opened, high, low, close, volume), keep=candles)


def margins() -> st.SearchStrategy[Margin]:
    """From a position of one's own money to one that a breath takes away."""
    terms = [("1", "0.005"), ("3", "0.01"), ("10", "0.005"), ("50", "0.005"), ("100", "0.004"), ("125", "0.0075")]
    return st.sampled_from([Margin(D(leverage), D(maintenance)) for leverage, maintenance in terms])


@st.composite
def cases(
    draw: st.DrawFn, candles: int = 120, futures: bool | None = None
) -> tuple[Seat, Scripted, PaperTerms, CandleSeries, Decimal]:
    """A market, a strategy that says random things, its exits, its sizes and what it pays."""
    tick, lot = draw(st.sampled_from([("0.01", "0.001"), ("0.5", "0.01"), ("0.00000001", "0.00000001"), ("0.1", "1")]))
    futures = draw(st.booleans()) if futures is None else futures
    instrument = market(tick, lot, futures=futures, notional_min=draw(st.sampled_from(["0", "5", "150"])))
    series = draw(paths(max(float(tick), 0.01), candles))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    often = draw(st.sampled_from([0.02, 0.1, 0.5]))
    side = np.where(random.random(candles) < often, random.choice([1, -1], candles), 0)
    leave = (random.random(candles) < draw(st.sampled_from([0.0, 0.05, 0.3]))) * random.choice([1, 2, 4], candles)
    strategy = Scripted(instrument, side, leave, *draw(levels(series, side)), exit=draw(exits(series)))
    protection = draw(protections())
    sizing = draw(
        st.sampled_from(
            [
                Sizing(None, D(1000)),
                Sizing(D("0.1")),
                Sizing(D("0.9"), None, D("5")),
                Sizing(None, D(160)),
                Sizing(D("2.9")),
            ]
        )
    )
    margin = draw(margins()) if futures else None
    terms = PaperTerms(
        D(draw(st.sampled_from(["0", "0.0002", "0.001"]))),
        D(draw(st.sampled_from(["0", "0.001", "0.004"]))),
        D(draw(st.sampled_from(["0", "2", "50"]))),
        0,
        D(draw(st.sampled_from(["1000000000", "0.5"]))),
        draw(st.booleans()),
        funding=draw(fundings(instrument, series)) if futures else None,
        maintenance=D(0) if margin is None else margin.maintenance,
        intrabar=draw(intrabars(series)),
    )
    seat = Seat(
        strategy=strategy,  # type: ignore[arg-type]  # made one that listens where it is asked
        instrument=instrument,
        timeframe_ns=MINUTE_NS,
        aggregation=Aggregation.WEIGHTED,
        threshold=0.0,
        sizing=sizing,
        protection=protection,
        order_type=OrderType.MARKET,
        slippage_tolerance=D(0),
        cooldown_ns=draw(st.sampled_from([0, 3])) * MINUTE_NS,
        can_short=futures,
        limits=Limits(),
        attached_exits=draw(st.booleans()),
        controls=Controls.of(RESEARCH),
        on_opposite=draw(st.sampled_from((*OnOpposite, OnOpposite.KEEP_AND_TIGHTEN))),
        fee_taker=terms.fee_taker,
        margin=margin,
    )
    return seat, strategy, terms, series, D(draw(st.sampled_from(["10000", "1100"])))


@st.composite
def fundings(draw: st.DrawFn, instrument: Instrument, series: CandleSeries) -> FundingTable | None:
    """Funding at regular instants, at the open of candles or inside them, now and then several before one candle."""
    step_s = draw(st.sampled_from([0, 20, 60, 150, 300]))
    if not step_s:
        return None
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    last_ns = int(series.open_time_ns[-1]) + 5 * MINUTE_NS
    at_ns = np.arange(START_NS - MINUTE_NS, last_ns, step_s * 10**9, dtype=np.int64)
    rates = np.round(random.normal(0, draw(st.sampled_from([0.0001, 0.003, 0.03])), len(at_ns)), 8)
    return FundingTable.at_candles(instrument.id, at_ns, rates, series)


@st.composite
def intrabars(draw: st.DrawFn, series: CandleSeries, parts: int = 4) -> Intrabar | None:
    """Finer ranges that come to the same low and high as their candle, now and then without the one or the other."""
    if draw(st.booleans()):
        return None
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = len(series), parts
    span = (series.high - series.low)[:, None]
    low = series.low[:, None] + random.random(shape) * span * 0.7
    high = np.minimum(low + random.random(shape) * span, series.high[:, None])
    rows = np.arange(len(series))
    low[rows, random.integers(0, parts, len(rows))] = series.low
    high[rows, random.integers(0, parts, len(rows))] = series.high
    kept = random.random(shape) > draw(st.sampled_from([0.0, 0.1]))
    at_ns = series.open_time_ns[:, None] + (1 + np.arange(parts)) * (MINUTE_NS // parts) - 1
    opened = low + random.random(shape) * (high - low)
    volume = np.repeat(series.volume[:, None] / parts, parts, axis=1)
    return Intrabar(at_ns[kept], opened[kept], low[kept], high[kept], volume[kept])


@st.composite
def protections(draw: st.DrawFn) -> Protection:
    """Exits of every kind, alone and together."""
    tiers = tuple(Tier(D(target), D(share)) for target, share in draw(st.sampled_from(TIERS)))
    trails = [None, None, Trail(D("0.002")), Trail(D("0.005"), D("0.001")), Trail(D("0.001"), D(0))]
    holds = [None, None, Hold(5 * MINUTE_NS), Hold(20 * MINUTE_NS, always=True)]
    return Protection(
        D(draw(st.sampled_from(["0.01", "0.003", "0.05", "0.0001"]))),
        tiers,
        draw(st.sampled_from(trails)),
        draw(st.sampled_from(holds)),
        draw(st.booleans()),
    )


@st.composite
def levels(draw: st.DrawFn, series: CandleSeries, side: Any) -> tuple[Any, Any]:
    """Stops and targets that entries bring along: mostly on their side of the price, now and then not, or not there."""
    if draw(st.integers(0, 2)):
        return None, ()
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    away = 1 + side * (np.abs(random.normal(0, 0.004, (3, len(series)))) + 0.0003)
    stop, near, far = series.close / away[0], series.close * away[1], series.close * away[1] * away[2]
    for prices in (stop, near, far):
        np.round(prices, 6, out=prices)  # a float has no digits to tell a finer price from a tick of the finest market
        prices[random.random(len(series)) < 0.2] = np.nan
    brought: tuple[Any, Any] = draw(st.sampled_from([(stop, ()), (None, (near,)), (stop, (near, far))]))
    return brought


EXITS = (
    "PNL_PCT >= 0.3",
    "PNL_PCT <= -0.2 OR BARS_HELD >= 15",
    "BARS_HELD == 1 AND X > 0.8",
    "X > 0.2 AND X < 0.5 AND PNL_PCT > 0",
    "NOT X < 0.9 AND ENTRY_PRICE > PRICE",
    "crosses_below(PRICE, ENTRY_PRICE * 1.001)",
    "PRICE[3] > ENTRY_PRICE AND PNL_PCT < 0 OR BARS_HELD / X > 40",
    "PNL_PCT / (BARS_HELD - 3) > 0.05",
)


@st.composite
def exits(draw: st.DrawFn, series: CandleSeries) -> Program | None:
    """A condition on the position, in two cases of five; X is noise that is now and then not known."""
    text = draw(st.sampled_from((None,) * 12 + EXITS))
    if text is None:
        return None
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    noise = random.random(len(series))
    noise[random.random(len(series)) < 0.1] = np.nan
    columns = {"PRICE": series.close, "X": noise}
    return Plan.of(parse(text, Scope(frozenset(columns), position=True))).bind(columns.__getitem__, {})


def desk(seat: Seat, strategy: Scripted, series: CandleSeries) -> Desk:
    prepared = Prepared(strategy, Frame(series, "1m"))
    return Desk((replace(seat, strategy=prepared),), seat.limits, ShortNames(), False)


def rules(seat: Seat, terms: PaperTerms, cash: Decimal) -> Rules:
    return Rules(seat, terms, cash)


def compiled_books(rules: Rules, said: Said, candles: CandleSeries) -> Books | None:
    """The books of a compiled path; None where a candle was too thin to fill an order whole."""
    found = find_path(rules, said, candles)
    return None if found is None else keep_books(rules, said, candles, found.fills)
