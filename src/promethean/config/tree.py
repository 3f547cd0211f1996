"""The tree of the settings: each key with its type, default, bounds and meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, PrivateAttr, model_validator
from pydantic_core import CoreSchema, core_schema

from promethean.domain.errors import ConfigError
from promethean.domain.secret import Secret

VenueName = Literal["binance", "bybit", "okx", "mexc", "kucoin"]


# --- What a key says about itself ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Key:
    """What is known about one setting beside its type and default.

    help:    one phrase for people.
    minimum, maximum: the smallest and largest value allowed, in the key's unit.
    name:    the capital environment name that is also read without the prefix.
    unit:    name in UNITS, where the key's own name does not end in its unit.
    pattern: regular expression that a text, or each item of a list, matches as a whole.
    shape:   what the pattern means, in words that follow "not".
    default: how the default is described where it is worked out at start.
    """

    help: str
    minimum: int | Decimal | None = None
    maximum: int | Decimal | None = None
    name: str = ""
    unit: str = ""
    pattern: str = ""
    shape: str = ""
    default: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # A model that is built directly meets the same bounds as one that is loaded.
        return core_schema.no_info_after_validator_function(self._bounded, handler(source))

    def _bounded(self, value: Any) -> Any:
        if self.minimum is not None and value < self.minimum:
            raise ValueError(f"below the minimum of {self.minimum}")
        if self.maximum is not None and value > self.maximum:
            raise ValueError(f"above the maximum of {self.maximum}")
        return value


class Group(BaseModel):
    """A frozen group of keys; unknown names and values of another type are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )


# --- The tree --------------------------------------------------------------------------------------------------------

_PATH = {"pattern": r"(?!~[^/])[^\r\n]+", "shape": "a path; `~` stands for your own home only, as in ~/folder"}


class App(Group):
    """The process itself."""

    env: Annotated[
        Literal["development", "test", "production"],
        Key("what this installation is for; production asks for more encryption, see `postgres.ssl_mode`"),
    ] = "development"
    mode: Annotated[
        Literal["backtest", "paper", "live"], Key("where orders go: virtual money or real money", name="TRADING_MODE")
    ] = "paper"
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], Key("the least important log lines to write")
    ] = "INFO"
    log_format: Annotated[Literal["json", "text"], Key("one JSON object a line, or text for people")] = "json"
    home: Annotated[
        Path, Key("the folder that holds all state; `~` is the user's home", name="PROMETHEAN_HOME", **_PATH)
    ] = Path("~/.promethean")
    feed: Annotated[
        str, Key("market feed: `live`, `synthetic`, or the path of a recorded file", name="FEED", pattern=r"[^\r\n]+")
    ] = "live"
    instance_id: Annotated[
        str,
        Key(
            "name of this process among several",
            pattern=r"[A-Za-z0-9._-]{1,64}",
            shape="1 to 64 letters, digits, dots, underscores or hyphens",
            default="the host name",
        ),
    ] = ""
    seed: Annotated[int, Key("seed of everything random", minimum=0, maximum=2**63 - 1)] = 0


class Postgres(Group):
    """Users, accounts and the journal."""

    url: Annotated[
        Secret | None,
        Key(
            "address of a PostgreSQL server; none starts the embedded one",
            name="DATABASE_URL",
            pattern=r"postgres(ql)?://\S+",
            shape="a PostgreSQL address such as postgresql://user:password@host:5432/database",
        ),
    ] = None
    port: Annotated[int, Key("port of the embedded server; 0 takes a free one", minimum=0, maximum=65535)] = 0
    ssl_mode: Annotated[
        Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
        Key("encryption towards the server at `postgres.url`", default="`prefer`; `require` in production"),
    ] = "prefer"
    pool_min: Annotated[int, Key("connections kept open", minimum=1, maximum=1000)] = 2
    pool_max: Annotated[int, Key("connections open at most", minimum=1, maximum=1000)] = 25
    statement_timeout_ms: Annotated[int, Key("longest time for one statement", minimum=100, maximum=600_000)] = 5000


class ClickHouse(Group):
    """The market store."""

    url: Annotated[
        Secret | None,
        Key(
            "address of a ClickHouse server; none runs the engine in the process, with its data in the home",
            name="MARKET_STORE_URL",
            pattern=r"(https?|chdb)://\S+",
            shape="a ClickHouse address such as http://user:password@host:8123",
        ),
    ] = None
    database: Annotated[
        str,
        Key(
            "database that holds the tables",
            pattern=r"[A-Za-z_][A-Za-z0-9_]{0,62}",
            shape="a name of up to 63 letters, digits and underscores that begins with no digit",
        ),
    ] = "promethean"
    batch_rows: Annotated[int, Key("rows collected before they are written", minimum=1, maximum=1_000_000)] = 1000
    batch_seconds: Annotated[float, Key("longest time a row waits", minimum=Decimal("0.01"), maximum=3600)] = 5.0
    spool_mib: Annotated[int, Key("room for rows that wait while the store is away", minimum=1, maximum=1_048_576)] = (
        1024
    )


_VAULT_KEY = {"pattern": r"[A-Za-z0-9+/]{43}=", "shape": "32 bytes in base64; make one with `openssl rand -base64 32`"}


class Vault(Group):
    """Encryption of what users entrust to the platform."""

    key: Annotated[
        Secret | None,
        Key(
            "the key that protects stored secrets; none uses the key file in the home, made at first start",
            name="ENCRYPTION_KEY",
            **_VAULT_KEY,
        ),
    ] = None
    previous_keys: Annotated[
        tuple[Secret, ...], Key("keys used before, newest first, until rotation has finished", **_VAULT_KEY)
    ] = ()


class Market(Group):
    """Live market data."""

    primary_exchange: Annotated[VenueName, Key("the exchange that `doctor` tries to reach")] = "binance"
    websocket_enabled: Annotated[bool, Key("streams where the exchange has them, else repeated requests")] = True
    reconnect_base_s: Annotated[
        float,
        Key(
            "shortest wait before a lost connection is tried again; the longest doubles with each failure",
            minimum=Decimal("0.05"),
            maximum=60,
        ),
    ] = 1.0
    reconnect_max_s: Annotated[float, Key("longest wait between two tries", minimum=Decimal("0.05"), maximum=3600)] = (
        60.0
    )
    queue_size: Annotated[int, Key("candles that may wait for the runner", minimum=16, maximum=1_000_000)] = 4096


class Venue(Group):
    """One exchange."""

    base_url: Annotated[
        str | None,
        Key(
            "address of its interface",
            pattern=r"https?://[^\s@]+",
            shape="an address such as https://host/path, without a user name",
            default="the venue's own",
        ),
    ] = None


class Exchange(Group):
    """The exchanges, one by one."""

    binance: Venue = Venue()
    bybit: Venue = Venue()
    okx: Venue = Venue()
    mexc: Venue = Venue()
    kucoin: Venue = Venue()


class Risk(Group):
    """Limits.  A key is named after the control that applies it, followed by what it bounds and its unit."""

    price_fresh_paper_s: Annotated[
        Decimal, Key("oldest price a paper decision may use", minimum=Decimal("0.1"), maximum=300)
    ] = Decimal(15)
    order_notional_min: Annotated[Decimal, Key("smallest order", minimum=1, maximum=1_000_000, unit="USD")] = Decimal(
        10
    )
    order_notional_max: Annotated[Decimal, Key("largest order", minimum=1, maximum=1_000_000, unit="USD")] = Decimal(
        1000
    )
    daily_trades: Annotated[int, Key("entries per account and day", minimum=1, maximum=1000)] = 20
    open_positions: Annotated[int, Key("positions open or pending at one time", minimum=1, maximum=1000)] = 3
    total_exposure: Annotated[
        Decimal,
        Key("open, pending and unknown orders and positions together", minimum=1, maximum=100_000_000, unit="USD"),
    ] = Decimal(5000)
    total_exposure_pct: Annotated[
        Decimal, Key("the same as a share of equity", minimum=Decimal("0.1"), maximum=100)
    ] = Decimal(50)
    liquidation_distance_pct: Annotated[
        Decimal,
        Key(
            "share of the way from an entry to its liquidation that the stop stays away from it", minimum=0, maximum=90
        ),
    ] = Decimal(20)
    leverage_max: Annotated[Decimal, Key("notional of a position, in times of its margin", minimum=1, maximum=125)] = (
        Decimal(1)
    )
    circuit_breaker_daily_loss_pct: Annotated[
        Decimal, Key("loss of the day, as a share of its first equity, that trips the breaker", Decimal("0.1"), 50)
    ] = Decimal(5)
    circuit_breaker_losing_streak: Annotated[
        int, Key("losing trades in a row that trip the breaker", minimum=1, maximum=100)
    ] = 3


class Commission(Group):
    """Fees of the paper venue, as a share of the notional."""

    spot_maker: Annotated[Decimal, Key("spot, resting order", minimum=0, maximum=5, unit="percent")] = Decimal("0.10")
    spot_taker: Annotated[Decimal, Key("spot, taking order", minimum=0, maximum=5, unit="percent")] = Decimal("0.10")
    futures_maker: Annotated[Decimal, Key("futures, resting order", minimum=0, maximum=5, unit="percent")] = Decimal(
        "0.02"
    )
    futures_taker: Annotated[Decimal, Key("futures, taking order", minimum=0, maximum=5, unit="percent")] = Decimal(
        "0.05"
    )


class Execution(Group):
    """How orders are sent, and how the paper venue fills them."""

    order_type: Annotated[Literal["market", "limit"], Key("order type where a strategy names none")] = "limit"
    slippage_max_pct: Annotated[
        Decimal, Key("largest distance between the expected and the accepted price", minimum=0, maximum=5)
    ] = Decimal("0.1")
    commission_default_pct: Commission = Commission()
    paper_latency_ms: Annotated[int, Key("mean time to the paper venue", minimum=0, maximum=60_000)] = 150
    paper_slippage_bps: Annotated[
        Decimal, Key("slippage of an order as large as its candle's volume", minimum=0, maximum=1000)
    ] = Decimal(2)
    paper_balance: Annotated[
        Decimal, Key("first balance of a paper account", minimum=1, maximum=1_000_000_000, unit="quote coin")
    ] = Decimal(10_000)
    participation_max: Annotated[
        Decimal,
        Key("share of a candle's volume that paper orders may fill", Decimal("0.001"), 1, unit="share"),
    ] = Decimal("0.1")


class Strategies(Group):
    """Where strategies are, and how their signals become a decision."""

    dir: Annotated[Path, Key("folder of the strategy files", **_PATH)] = Path("config/strategies")
    signal_threshold: Annotated[
        float, Key("confidence a decision needs, where a strategy names none", minimum=0, maximum=1)
    ] = 0.6
    aggregation: Annotated[Literal["voting", "weighted", "unanimous", "threshold"], Key("how signals are combined")] = (
        "weighted"
    )


class Settings(Group):
    """The whole tree, and where each value came from."""

    app: App = App()
    postgres: Postgres = Postgres()
    clickhouse: ClickHouse = ClickHouse()
    vault: Vault = Vault()
    market: Market = Market()
    exchange: Exchange = Exchange()
    risk: Risk = Risk()
    execution: Execution = Execution()
    strategies: Strategies = Strategies()

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def origins(self) -> Mapping[str, str]:
        """Where each value came from, by path.

        `default`, `promethean.yaml:12`, `.env`, `environment PROMETHEAN_X` or `command line`.
        """
        return MappingProxyType(self._origins)

    def value(self, path: str) -> Any:
        """Return the value at a dotted path.

        Raises: ConfigError when there is no such key.
        """
        # Imported here, since the leaves are made of this tree.
        from promethean.config.leaves import leaves
        from promethean.config.values import unknown_key

        if path not in leaves():
            raise ConfigError(unknown_key(path))
        found: Any = self
        for name in path.split("."):
            found = getattr(found, name)
        return found

    @model_validator(mode="after")
    def _pairs_fit(self) -> Settings:
        from promethean.config.values import written

        for low, high in PAIRS:
            if self.value(high) < self.value(low):
                raise ConfigError(
                    f"{high} is {written(self.value(high))}, below {low}, which is {written(self.value(low))}; "
                    "raise the first or lower the second"
                )
        return self


PAIRS = (
    ("postgres.pool_min", "postgres.pool_max"),
    ("market.reconnect_base_s", "market.reconnect_max_s"),
    ("risk.order_notional_min", "risk.order_notional_max"),
)
