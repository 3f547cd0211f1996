"""What trades: the strategy file, the limits of its user, and the desk made of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from msgspec.structs import replace

from promethean.config.tree import Settings, VenueName
from promethean.config.units import fraction
from promethean.domain.errors import ConfigError, unknown_name
from promethean.domain.ids import StrategyId
from promethean.domain.instruments import Instrument, MarketType
from promethean.domain.margin import MAINTENANCE, Margin
from promethean.domain.orders import OrderType

if TYPE_CHECKING:
    from promethean.engine.combined import Part
    from promethean.engine.decide import Aggregation
    from promethean.engine.desk import Desk
    from promethean.exchanges.paper.venue import PaperTerms
    from promethean.exchanges.port import Capabilities
    from promethean.risk.check import Controls
    from promethean.risk.limits import Limits
    from promethean.strategies.arrays import ArrayStrategy
    from promethean.strategies.catalogue import Strategy
    from promethean.strategies.file import Simulation, StrategyFile
    from promethean.strategies.frame import Frame

DEFAULT_STRATEGY = "rsi_reversion"


def find_strategy_file(settings: Settings, name: str) -> Path:
    """A strategy file by path, or by name in the folder of strategy files and among the ones that come with us.

    Raises ConfigError with the closest known names.
    """
    shipped = Path(__file__).parents[3] / "config" / "strategies"
    folders = [settings.strategies.dir, shipped]
    for candidate in (Path(name), *(folder / name for folder in folders), *(f / f"{name}.yaml" for f in folders)):
        if candidate.is_file():
            return candidate
    known = {path.name for folder in folders if folder.is_dir() for path in folder.glob("*.yaml")}
    raise ConfigError(unknown_name("strategy file", name, known))


def load_strategy(path: Path, overrides: Mapping[str, str] | None = None) -> StrategyFile:
    """A checked strategy file.  Raises ConfigError naming what is wrong and where.

    overrides: values by parameter name or by path, as `--set` gives them.
    """
    from promethean.strategies.file import parse_strategy

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"strategy file {path} cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"strategy file {path}, line {line}, is not UTF-8 text; save it as UTF-8") from error
    file = parse_strategy(text, str(path), overrides or {})
    if file.exchange not in get_args(VenueName):
        raise ConfigError(
            f"{path}: market.exchange names an {unknown_name('exchange', file.exchange, get_args(VenueName))}"
        )
    return file


def account_limits(settings: Settings) -> dict[str, Decimal]:
    """The limits that the settings put into the record of a new user, by limit code."""
    risk = settings.risk
    return {
        "price_fresh_s": risk.price_fresh_paper_s,
        "order_notional_min": risk.order_notional_min,
        "order_notional_max": risk.order_notional_max,
        "daily_trades": Decimal(risk.daily_trades),
        "open_positions": Decimal(risk.open_positions),
        "total_exposure": risk.total_exposure,
        "total_exposure_share": fraction(risk.total_exposure_pct),
        "liquidation_distance": fraction(risk.liquidation_distance_pct),
        "leverage_max": risk.leverage_max,
        "circuit_breaker_daily_loss": fraction(risk.circuit_breaker_daily_loss_pct),
        "circuit_breaker_losing_streak": Decimal(risk.circuit_breaker_losing_streak),
    }


def make_strategy(
    file: StrategyFile, instrument: Instrument, timeframe: str, settings: Settings | None = None
) -> Strategy | ArrayStrategy:
    """The strategy that a file describes, at one market: what speaks, with its votes, stops and hours.

    settings: what holds for aggregation where the file says nothing; None: their defaults.
    Raises ConfigError for parameters it refuses.
    """
    from promethean.strategies.arrays import ArrayStrategy
    from promethean.strategies.atr_stop import WithAtrStop
    from promethean.strategies.schedule import Scheduled

    made = _speaking(file, instrument, timeframe, settings or Settings())
    if not isinstance(made, ArrayStrategy):
        for key, value in (("exits.stop_loss_atr", file.exits.atr_stop), ("schedule", file.schedule)):
            if value is not None:
                raise ConfigError(f"{file.id}: {key} is not known to a strategy with on_event; remove it")
        return made
    if file.exits.atr_stop is not None:
        made = WithAtrStop(made, file.exits.atr_stop, float(file.exits.protection.stop_loss))
    if file.schedule is not None:
        made = Scheduled(made, file.schedule, closes_opposite=file.exits.on_opposite in ("close", "flip"))
    return made


def _speaking(
    file: StrategyFile, instrument: Instrument, timeframe: str, settings: Settings
) -> Strategy | ArrayStrategy:
    from promethean.strategies.by_candle import ByCandle
    from promethean.strategies.candle_strategy import CandleStrategy
    from promethean.strategies.catalogue import STRATEGIES
    from promethean.strategies.conditional import ConditionStrategy

    identity = StrategyId(file.id)
    if file.conditions is not None:
        return ConditionStrategy(
            file.conditions, id=identity, instrument=instrument.id, timeframe=timeframe, parameters=file.parameters
        )
    assert file.class_name is not None, "a strategy file has a class or conditions"
    can_short = instrument.market_type is MarketType.FUTURES
    make = partial(
        STRATEGIES.get(file.class_name),
        id=identity,
        instrument=instrument.id,
        timeframe=timeframe,
        parameters=file.parameters,
        can_short=can_short,
    )
    made = make()
    if isinstance(made, CandleStrategy):
        made = ByCandle(cast("Callable[[], CandleStrategy]", make))
    return _counted(made, file, settings, can_short=can_short)


def _counted(
    made: Strategy | ArrayStrategy, file: StrategyFile, settings: Settings, *, can_short: bool
) -> Strategy | ArrayStrategy:
    """The class of a file as far as its votes count: alone, or aggregated with the sources beside it."""
    from promethean.engine.combined import Alone, Combined, Part
    from promethean.strategies.arrays import ArrayStrategy

    mode, threshold = _aggregation(file, settings)
    beside = _beside(file, made)
    if not beside:
        return Alone(made, mode, threshold) if isinstance(made, ArrayStrategy) else made
    if not isinstance(made, ArrayStrategy):
        name = beside[0].name
        raise ConfigError(
            f"{file.id}: {name} joins strategies that are array functions, and {file.class_name} has a state of "
            f"its own; set {name}.enabled: false"
        )
    return Combined((Part(file.class_name or file.id, made, 1.0), *beside), mode, threshold, can_short=can_short)


def _beside(file: StrategyFile, made: Strategy | ArrayStrategy) -> list[Part]:
    """The sources that a file switches on beside its class.

    They vote for both sides; what a SELL means where there are no shorts is decided afterwards.
    """
    from promethean.engine.combined import Part
    from promethean.strategies.book_source import BookStrategy
    from promethean.strategies.technical_score import TechnicalScoreStrategy

    parts = []
    if file.technical is not None:
        score = TechnicalScoreStrategy(
            id=made.id,
            instrument=made.instrument,
            timeframe=made.timeframe,
            parameters=file.technical.parameters,
            can_short=True,
        )
        parts.append(Part("technical", score, file.technical.weight))
    if file.orderbook is not None:
        book = BookStrategy(
            id=made.id,
            instrument=made.instrument,
            timeframe=made.timeframe,
            settings=file.orderbook.settings,
            sizing=file.sizing,
        )
        parts.append(Part("orderbook", book, file.orderbook.weight))
    return parts


def _aggregation(file: StrategyFile, settings: Settings) -> tuple[Aggregation, float]:
    """How signals are combined, and from which confidence they count: what the file says, else the settings."""
    from promethean.engine.decide import parse_aggregation

    threshold = file.threshold if file.threshold is not None else settings.strategies.signal_threshold
    return parse_aggregation(file.aggregation or settings.strategies.aggregation), threshold


def listen(strategy: Strategy | ArrayStrategy, recorded: Frame | None) -> Strategy:
    """The strategy as the engine asks it: an array strategy at recorded candles, or, without them, at live ones."""
    from promethean.engine.combined import Alone
    from promethean.strategies.arrays import ArrayStrategy, Prepared, Trailing
    from promethean.strategies.by_candle import ByCandle, Following
    from promethean.strategies.failing import Asked

    if not isinstance(strategy, ArrayStrategy):
        return Asked(strategy)
    if recorded is not None:
        return Prepared(strategy, recorded)
    _refuse_unbounded(strategy)
    told = strategy.strategy if isinstance(strategy, Alone) else strategy  # the engine counts its votes itself
    return Following(told) if isinstance(told, ByCandle) else Trailing(strategy)


def reads_books(file: StrategyFile) -> bool:
    """Whether the strategy of a file asks for order books: its class, or a source beside it."""
    from promethean.strategies.arrays import ReadsBooks
    from promethean.strategies.catalogue import STRATEGIES

    if file.orderbook is not None:
        return True
    return file.class_name is not None and isinstance(STRATEGIES.get(file.class_name), ReadsBooks)


def without_books(name: str) -> str:
    """Why a strategy that reads order books does not run on prices that come by themselves."""
    return (
        f"strategy {name} reads order books, which neither the live nor the synthetic feed brings yet; backtest it "
        "on a recorded feed, or run it there with --feed FEED.gz"
    )


def _refuse_unbounded(strategy: ArrayStrategy) -> None:
    """Live candles are judged from a trailing window: what no such window decides is refused, not approximated."""
    from promethean.domain.candles import KEPT
    from promethean.strategies.arrays import ReadsBooks, innermost, sources_of
    from promethean.strategies.conditional import ConditionStrategy

    asked = innermost(strategy)
    if any(isinstance(each, ReadsBooks) for each in sources_of(strategy)):
        raise ConfigError(without_books(strategy.id))
    if isinstance(asked, ConditionStrategy) and asked.unbounded:
        raise ConfigError(
            f"strategy {strategy.id} reads {', '.join(asked.unbounded)}, which depends on all candles there ever "
            "were; it can be backtested, and runs on a recorded feed, but not yet on a live one"
        )
    if strategy.window > KEPT:
        raise ConfigError(
            f"strategy {strategy.id} looks {strategy.window:,} candles back, more than the {KEPT:,} that a live feed "
            "keeps; use shorter periods or smaller timeframes"
        )


def research(limits: Mapping[str, Decimal]) -> tuple[Limits, Controls]:
    """What `--limits research` applies: the filters, the stop's side, and what the strategy file limits itself."""
    from promethean.risk.check import RESEARCH, Controls
    from promethean.risk.limits import Limits

    asked, values = list(RESEARCH), dict(limits)
    if "daily_trades" in limits:
        asked.append("daily_trades")
    if "circuit_breaker_daily_loss" in limits:
        asked.append("circuit_breaker")
        values["circuit_breaker_losing_streak"] = Decimal(10) ** 9
    return Limits.from_record(values), Controls.of(asked)


def research_desk(desk: Desk, file: StrategyFile) -> Desk:
    """The same desk under the controls of research alone."""
    limits, controls = research(file.limits)
    seats = tuple(replace(seat, limits=limits, controls=controls) for seat in desk.seats)
    return replace(desk, seats=seats, limits=limits)


def make_desk(
    settings: Settings,
    file: StrategyFile,
    instrument: Instrument,
    timeframe: str,
    record: Any,
    venue: Capabilities,
    recorded: Frame | None = None,
    *,
    is_asked: bool = True,
) -> Desk:
    """The desk of one strategy at one market.

    record: the user's limits by code.  venue: what it can do.
    recorded: every candle there will be, of a recording, with what is beside them.
    is_asked: False for a desk that is looked at for its rules alone, whatever its strategy needs to speak.
    """
    from promethean.domain.candles import timeframe_ns
    from promethean.engine.decide import Aggregation
    from promethean.engine.desk import Desk, OnOpposite, Seat
    from promethean.risk.limits import Limits
    from promethean.strategies.arrays import ArrayStrategy, Trailing

    limits = Limits.from_record(record).stricter(file.limits)
    strategy = make_strategy(file, instrument, timeframe, settings)
    silent = Trailing(strategy) if isinstance(strategy, ArrayStrategy) and not is_asked else None
    mode, threshold = _aggregation(file, settings)
    if file.technical is not None or file.orderbook is not None or file.conditions is not None:
        mode = Aggregation.THRESHOLD  # sources that are counted already, and conditions that hold, are one voice
    slippage, terms = file.slippage_tolerance, paper_terms(settings, instrument, file.simulation)
    is_margined = instrument.market_type is MarketType.FUTURES
    seat = Seat(
        strategy=silent or listen(strategy, recorded),
        instrument=instrument,
        timeframe_ns=timeframe_ns(timeframe),
        aggregation=mode,
        threshold=threshold,
        sizing=file.sizing,
        protection=file.exits.protection,
        order_type=file.order_type or OrderType(settings.execution.order_type),
        slippage_tolerance=slippage if slippage is not None else fraction(settings.execution.slippage_max_pct),
        cooldown_ns=file.cooldown_bars * timeframe_ns(timeframe),
        can_short=is_margined,
        limits=limits,
        attached_exits=venue.attached_exits,
        on_opposite=OnOpposite(file.exits.on_opposite or OnOpposite.KEEP_AND_TIGHTEN),
        fee_taker=terms.fee_taker,
        margin=Margin(file.leverage, terms.maintenance) if is_margined else None,
    )
    return Desk((seat,), limits)


def paper_terms(settings: Settings, instrument: Instrument, simulation: Simulation) -> PaperTerms:
    """How the simulated venue treats orders: what the strategy file says, else the settings."""
    from promethean.exchanges.paper.venue import PaperTerms

    execution = settings.execution
    commission = execution.commission_default_pct
    is_spot = instrument.market_type is MarketType.SPOT
    maker = fraction(commission.spot_maker if is_spot else commission.futures_maker)
    taker = fraction(commission.spot_taker if is_spot else commission.futures_taker)
    return PaperTerms(
        fee_maker=maker if simulation.fee_maker is None else simulation.fee_maker,
        fee_taker=taker if simulation.fee_taker is None else simulation.fee_taker,
        slippage_bps=execution.paper_slippage_bps if simulation.slippage_bps is None else simulation.slippage_bps,
        latency_ms=execution.paper_latency_ms if simulation.latency_ms is None else simulation.latency_ms,
        participation_max=simulation.participation_max or execution.participation_max,
        seed=settings.app.seed,
        maintenance=MAINTENANCE if simulation.maintenance is None else simulation.maintenance,
    )


def with_filters(instrument: Instrument, simulation: Simulation) -> Instrument:
    """The instrument with the filters that a strategy file gives where a recording does not say them."""
    filters = {
        "price_increment": simulation.price_increment,
        "quantity_increment": simulation.quantity_increment,
        "quantity_min": simulation.quantity_increment,
        "notional_min": simulation.notional_min,
    }
    return replace(instrument, **{name: value for name, value in filters.items() if value is not None})
