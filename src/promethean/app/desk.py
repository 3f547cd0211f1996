"""What trades: the strategy file, the limits of its user, and the desk made of both."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promethean.config.tree import Settings
from promethean.config.units import fraction
from promethean.domain.errors import ConfigError, unknown_name
from promethean.domain.ids import StrategyId
from promethean.domain.instruments import Instrument, MarketType
from promethean.domain.orders import OrderType

if TYPE_CHECKING:
    from promethean.engine.desk import Desk
    from promethean.exchanges.port import Capabilities
    from promethean.strategies.file import StrategyFile

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


def load_strategy(path: Path) -> StrategyFile:
    """A checked strategy file.  Raises ConfigError naming what is wrong and where."""
    from promethean.strategies.file import parse_strategy

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"strategy file {path} cannot be read: {error}") from error
    return parse_strategy(text, str(path))


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
        "circuit_breaker_daily_loss": fraction(risk.circuit_breaker_daily_loss_pct),
        "circuit_breaker_losing_streak": Decimal(risk.circuit_breaker_losing_streak),
    }


def make_desk(
    settings: Settings,
    file: StrategyFile,
    instrument: Instrument,
    timeframe: str,
    record: Any,
    venue: Capabilities,
) -> Desk:
    """The desk of one strategy at one market.  record: the user's limits by code; venue: what it can do."""
    from promethean.domain.candles import timeframe_ns
    from promethean.engine.decide import parse_aggregation
    from promethean.engine.desk import Desk, Seat
    from promethean.risk.limits import Limits
    from promethean.strategies.catalogue import STRATEGIES

    limits = Limits.from_record(record).stricter(file.limits)
    can_short = instrument.market_type is MarketType.FUTURES
    strategy = STRATEGIES.get(file.class_name)(
        id=StrategyId(file.id),
        instrument=instrument.id,
        timeframe=timeframe,
        parameters=file.parameters,
        can_short=can_short,
    )
    slippage = file.slippage_tolerance
    seat = Seat(
        strategy=strategy,
        instrument=instrument,
        timeframe_ns=timeframe_ns(timeframe),
        aggregation=parse_aggregation(file.aggregation or settings.strategies.aggregation),
        threshold=file.threshold if file.threshold is not None else settings.strategies.signal_threshold,
        sizing=file.sizing,
        protection=file.protection,
        order_type=file.order_type or OrderType(settings.execution.order_type),
        slippage_tolerance=slippage if slippage is not None else fraction(settings.execution.slippage_max_pct),
        cooldown_ns=file.cooldown_bars * timeframe_ns(timeframe),
        can_short=can_short,
        limits=limits,
        attached_exits=venue.attached_exits,
    )
    return Desk((seat,), limits)
