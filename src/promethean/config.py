"""Every setting of the platform: one tree, validated whole before anything starts.

    command line > environment > .env > promethean.yaml > default

The models below are the only list of settings.  The names of environment variables, the reference page
(`docs/configuration.md`) and the rows of `promethean config show` are made from them.  Loading creates nothing.
"""

from __future__ import annotations

import difflib
import re
import socket
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, PrivateAttr, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from promethean.domain.errors import ConfigError
from promethean.domain.secret import MASK, Secret
from promethean.domain.yaml_text import BYTES_MAX, YamlDocument, read_yaml

PREFIX = "PROMETHEAN_"
FILE_NAME = "promethean.yaml"
NAME_MAX = 100  # characters of an unknown name that are looked at and shown
DECIMALS_MAX = 18  # what NUMERIC(38,18) can hold

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
        if path not in _leaves():
            raise ConfigError(_unknown("key", path, _leaves()))
        found: Any = self
        for name in path.split("."):
            found = getattr(found, name)
        return found

    @model_validator(mode="after")
    def _pairs_fit(self) -> Settings:
        for low, high in PAIRS:
            if self.value(high) < self.value(low):
                raise ConfigError(
                    f"{high} is {_written(self.value(high))}, below {low}, which is {_written(self.value(low))}; "
                    "raise the first or lower the second"
                )
        return self


PAIRS = (
    ("postgres.pool_min", "postgres.pool_max"),
    ("market.reconnect_base_s", "market.reconnect_max_s"),
    ("risk.order_notional_min", "risk.order_notional_max"),
)


def fraction(percent: Decimal) -> Decimal:
    """Convert a percent number to a fraction, exactly: 2.5 is 0.025."""
    return percent * Decimal("0.01")


# --- Units -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unit:
    """What the numbers of a key count.

    name:      what people call it, and how errors name it.
    symbol:    how it is written behind a number; empty where a number stands alone.
    dimension: what can be converted into it.
    size:      how many of the dimension's base it is.
    """

    name: str
    symbol: str = ""
    dimension: str = ""
    size: Fraction = Fraction(1)


UNITS = {
    unit.name: unit
    for unit in (
        Unit("percent", "%", "ratio", Fraction(100)),
        Unit("basis points", "bps", "ratio"),
        Unit("milliseconds", "ms", "time"),
        Unit("seconds", "s", "time", Fraction(1000)),
        Unit("mebibytes", "MiB", "size", Fraction(1024)),
        Unit("USD"),
        Unit("quote coin"),
        Unit("share"),
    )
}
_PLAIN = Unit("")
_ENDINGS = {
    "pct": "percent",
    "bps": "basis points",
    "ms": "milliseconds",
    "s": "seconds",
    "seconds": "seconds",
    "mib": "mebibytes",
}
# What may stand behind a number: its dimension, its size in the dimension's base, and what errors call the value.
_SYMBOLS: dict[str, tuple[str, Fraction, str]] = {
    "%": ("ratio", Fraction(100), "a percentage"),
    "bps": ("ratio", Fraction(1), "a number of basis points"),
    "ms": ("time", Fraction(1), "a duration"),
    "s": ("time", Fraction(1000), "a duration"),
    "m": ("time", Fraction(60_000), "a duration"),
    "h": ("time", Fraction(3_600_000), "a duration"),
    "d": ("time", Fraction(86_400_000), "a duration"),
    "KiB": ("size", Fraction(1), "a size"),
    "MiB": ("size", Fraction(1024), "a size"),
    "GiB": ("size", Fraction(1024**2), "a size"),
}
_QUANTITY = re.compile(r"([-+]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})) ?([A-Za-z%]{0,16})")


class QuantityError(ValueError):
    """A text is no number of the wanted unit; the message continues a sentence that begins with the value."""


def parse_quantity(text: str, unit: Unit) -> Decimal:
    """Read a number with or without a unit behind it.

    text:    `5`, `0.10`, `5%`, `150ms`, `1 h`; no exponents, no underscores.
    unit:    what the answer counts; a bare number is taken to count it already.
    Returns: the exact value, with at most 18 decimals.
    Raises:  QuantityError when it is no number, has another dimension, or does not convert exactly.
    """
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise QuantityError("not a number")
    number, symbol = Decimal(match.group(1)), match.group(2)
    if symbol and symbol != unit.symbol:
        if symbol not in _SYMBOLS:
            raise QuantityError(f"with the unknown unit '{symbol}'")
        dimension, size, says = _SYMBOLS[symbol]
        if dimension != unit.dimension:
            raise QuantityError(says)
        number = _exact_decimal(Fraction(number) * size / unit.size, unit)
    if -_exponent(number) > DECIMALS_MAX:
        raise QuantityError(f"with more than {DECIMALS_MAX} decimals")
    return number


def _exact_decimal(value: Fraction, unit: Unit) -> Decimal:
    for places in range(DECIMALS_MAX + 1):
        scaled = value * 10**places
        if scaled.denominator == 1:
            return Decimal(f"{scaled.numerator}E-{places}")  # from text: arithmetic would round to 28 digits
    raise QuantityError(f"which is no exact number of {unit.name}")


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)  # the pattern knows neither infinity nor NaN
    return exponent


# --- The leaves of the tree ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Leaf:
    """One setting as the models declare it."""

    path: str
    key: Key
    kind: Any  # bool, int, float, Decimal, str, Path, Secret or Literal; of the items when `many`
    many: bool
    optional: bool
    default: Any

    @property
    def unit(self) -> Unit:
        """The unit its numbers count, from the key or the end of its name."""
        return UNITS[self.unit_name] if self.unit_name else _PLAIN

    @property
    def unit_name(self) -> str:
        """Name of the unit; empty for what is not measured."""
        return self.key.unit or _ENDINGS.get(self.path.rpartition("_")[2], "")

    @property
    def secret(self) -> bool:
        """Whether the value is never shown."""
        return self.kind is Secret

    @property
    def choices(self) -> tuple[str, ...]:
        """The texts allowed, or none when any is."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    @property
    def names(self) -> tuple[str, ...]:
        """Environment names, the preferred one first."""
        bare = self.key.name
        names = [env_name(self.path)]
        if bare:
            names.insert(0, bare)
        if bare and not bare.startswith(PREFIX):
            names.append(PREFIX + bare)
        return tuple(names)


@cache
def _leaves() -> Mapping[str, Leaf]:
    return MappingProxyType({leaf.path: leaf for leaf in _walk(Settings, "")})


def _walk(group: type[BaseModel], prefix: str) -> Iterator[Leaf]:
    for name, field in group.model_fields.items():
        path = prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _walk(field.annotation, path + ".")
        else:
            yield _leaf(path, field)


def _leaf(path: str, field: FieldInfo) -> Leaf:
    [key] = [item for item in field.metadata if isinstance(item, Key)]
    kind: Any = field.annotation
    optional = get_origin(kind) in (types.UnionType, Union)
    if optional:
        [kind] = [part for part in get_args(kind) if part is not type(None)]
    many = get_origin(kind) is tuple
    return Leaf(path, key, get_args(kind)[0] if many else kind, many, optional, field.default)


def paths() -> tuple[str, ...]:
    """Return the path of every setting, in the order of the tree."""
    return tuple(_leaves())


def env_name(path: str) -> str:
    """Return the environment name of a path: `postgres.pool_max` is `PROMETHEAN_POSTGRES_POOL_MAX`."""
    return PREFIX + path.upper().replace(".", "_")


def path_of_env(name: str) -> str | None:
    """Return the path that an environment name sets, or None when it sets none."""
    found = _names().get(name)
    return found[0].path if found else None


@cache
def _names() -> Mapping[str, tuple[Leaf, bool]]:
    """Every environment name that is read: its leaf, and whether it names a file that holds the value."""
    names: dict[str, tuple[Leaf, bool]] = {}
    for leaf in _leaves().values():
        found = [(name, False) for name in leaf.names]
        found += [(f"{name}_FILE", True) for name in leaf.names if leaf.secret]
        for name, is_file in found:
            assert name not in names, f"two settings share the environment name {name}"
            names[name] = (leaf, is_file)
    return MappingProxyType(names)


# --- Layers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class Given:
    """A value as somebody wrote it, and where.  Has no repr: the value may be a secret."""

    raw: Any
    origin: str


@dataclass(frozen=True, slots=True)
class _Places:
    """What relative paths and `~` mean."""

    cwd: Path
    user_home: str

    def resolve(self, text: str) -> Path:
        if text == "~" or text.startswith("~/"):
            return Path(self.user_home, text[2:])
        return self.cwd / text


def load_settings(
    cli: Mapping[str, str], environ: Mapping[str, str], cwd: Path, config_file: Path | None = None
) -> Settings:
    """Read every layer, validate the whole tree, and return it.  Creates nothing.

    cli:         values from the command line, text by path (`{"app.mode": "paper"}`); secrets are refused here.
    environ:     the environment of the process.
    cwd:         working directory: holds `.env`, perhaps `promethean.yaml`, and is what relative paths start from.
    config_file: the settings file to read.  Without it `promethean.yaml` of `cwd` is read, or else that of the home.
    Raises:      ConfigError for the first thing that is wrong, with path, value, place and remedy.
    """
    places = _Places(cwd, environ.get("HOME") or str(Path.home()))
    strong = {
        **_from_names(_read_dotenv(cwd / ".env"), lambda _: ".env", cwd),
        **_from_names(environ, lambda name: f"environment {name}", cwd),
        **_from_command_line(cli),
    }
    home = _value(_leaves()["app.home"], strong.get("app.home"), places)
    given = {**_from_yaml(cwd, home, config_file), **strong}
    _derive(given)
    values = {path: _value(leaf, given.get(path), places) for path, leaf in _leaves().items()}
    settings = Settings.model_validate(_nested(values))
    settings._origins = {path: given[path].origin if path in given else "default" for path in values}
    return settings


def _derive(given: dict[str, Given]) -> None:
    """Fill in the defaults that depend on another value or on the machine."""
    if "app.instance_id" not in given:
        host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64] or "localhost"
        given["app.instance_id"] = Given(host, "default")
    if "postgres.ssl_mode" not in given and "app.env" in given and given["app.env"].raw == "production":
        given["postgres.ssl_mode"] = Given("require", "default")


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *groups, name = path.split(".")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[name] = value
    return tree


def _from_command_line(cli: Mapping[str, str]) -> dict[str, Given]:
    for path, text in cli.items():
        leaf = _leaves().get(path)
        if leaf is None:
            raise ConfigError(f"command line: {_unknown('key', path, _leaves(), text)}")
        if leaf.secret:
            raise ConfigError(
                f"{path} is a secret, and other users of the machine can read the command line; "
                f"put it into a file and set {leaf.names[0]}_FILE to its path"
            )
    return {path: Given(text, "command line") for path, text in cli.items()}


def _from_names(variables: Mapping[str, str], origin: Callable[[str], str], cwd: Path) -> dict[str, Given]:
    given: dict[str, Given] = {}
    sources: dict[str, str] = {}
    for name in sorted(variables):
        if name not in _names():
            if name.startswith(PREFIX):
                raise ConfigError(_unknown_variable(name, variables[name], origin(name)))
            continue
        leaf, is_file = _names()[name]
        text = _read_secret_file(name, variables[name], cwd) if is_file else variables[name]
        first = given.setdefault(leaf.path, Given(text, origin(name)))
        if first.raw != text:
            raise ConfigError(
                f"{sources[leaf.path]} and {name} both set {leaf.path}, to different values; keep one of them"
            )
        sources.setdefault(leaf.path, name)
    return given


def _unknown_variable(name: str, value: str, origin: str) -> str:
    known = [known for known, (_, is_file) in _names().items() if is_file == name.endswith("_FILE")]
    where = " in .env" if origin == ".env" else ""
    return _unknown(f"environment variable{where}", name, [item for item in known if item.startswith(PREFIX)], value)


def _read_secret_file(name: str, text: str, cwd: Path) -> str:
    # The path is not shown: by mistake it may be the secret itself.
    content = _read_text(cwd / text, f"the file named by {name}").rstrip("\r\n") if text else ""
    if not content:
        raise ConfigError(f"the file named by {name} holds nothing; write the secret into it, or unset {name}")
    return content


# --- Files -----------------------------------------------------------------------------------------------------------

_DOTENV_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$"}


def _read_text(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror}; check the path and its permissions") from None
    if len(data) > BYTES_MAX:
        raise ConfigError(f"{name} is larger than the maximum of {BYTES_MAX} bytes; make it smaller")
    if b"\0" in data:
        raise ConfigError(f"{name} holds a zero byte; it is no text file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
    # Raised out here, so that the error does not carry the decoder's, which holds the content.
    raise ConfigError(f"{name}:{line}: not UTF-8 text; save the file as UTF-8")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise ConfigError(f"{path} cannot be looked at: {error.strerror}; check the permissions above it") from None


def _read_dotenv(path: Path) -> dict[str, str]:
    if not _is_file(path):
        return {}
    variables: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(_read_text(path, path.name).split("\n"), start=1):
        written = line.strip()
        if not written or written.startswith("#"):
            continue
        match = _DOTENV_LINE.fullmatch(written)
        value = _dotenv_value(match.group(2)) if match else None
        if match is None or value is None:
            raise ConfigError(f"{path.name}:{number}: not readable; write NAME=value, with quotes closed on the line")
        name = match.group(1)
        if name in variables:
            raise ConfigError(f"{path.name}:{number}: {name} is given twice (first on line {lines[name]}); keep one")
        variables[name], lines[name] = value, number
    return variables


def _dotenv_value(text: str) -> str | None:
    """Take quotes, escapes and the comment off a value; None when a quote is not closed."""
    if text.startswith("'"):
        match = re.fullmatch(r"'([^']*)'\s*(#.*)?", text)
        return match.group(1) if match else None
    if text.startswith('"'):
        match = re.fullmatch(r'"((?:[^"\\]|\\.)*)"\s*(#.*)?', text)
        return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), match.group(1)) if match else None
    return re.sub(r"(^|\s+)#.*", "", text)


def _from_yaml(cwd: Path, home: Path, config_file: Path | None) -> dict[str, Given]:
    if config_file is not None:
        return _read_settings_file(cwd / config_file, str(config_file))
    if _is_file(cwd / FILE_NAME):
        return _read_settings_file(cwd / FILE_NAME, FILE_NAME)
    path = home / FILE_NAME
    if not _is_file(path):
        return {}
    given = _read_settings_file(path, str(path))
    if "app.home" in given:
        raise ConfigError(
            f"{given['app.home'].origin}: app.home is set in a file that lies in the home; "
            "set PROMETHEAN_HOME instead, and remove the line"
        )
    return given


def _read_settings_file(path: Path, name: str) -> dict[str, Given]:
    document = read_yaml(_read_text(path, name), name)
    return dict(_flatten(document, document.values, Settings, (), name))


def _flatten(
    document: YamlDocument, values: Mapping[str, Any], group: type[BaseModel], above: tuple[str, ...], name: str
) -> Iterator[tuple[str, Given]]:
    for key, value in values.items():
        parts = (*above, key)
        path, origin = ".".join(parts), f"{name}:{document.line(parts)}"
        field = group.model_fields.get(key)
        if field is None:
            if "." in key:
                raise ConfigError(f"{origin}: key '{key}' has a dot; write it nested, one level for each part")
            raise ConfigError(f"{origin}: {_unknown('key', path, _leaves(), value)}")
        if path in _leaves():
            yield path, Given(value, origin)
        elif isinstance(value, dict):
            assert isinstance(field.annotation, type)
            yield from _flatten(document, value, field.annotation, parts, name)
        elif value is not None:
            raise ConfigError(f"{origin}: {path} is a group of keys, not one value; write its keys below it, indented")


# --- From what was written to values ---------------------------------------------------------------------------------


class _Unfit(Exception):  # noqa: N818 - it never leaves this module
    """The rest of a sentence that begins with the path."""


def _value(leaf: Leaf, given: Given | None, places: _Places) -> Any:
    if given is None:
        return places.resolve(str(leaf.default)) if leaf.kind is Path else leaf.default
    try:
        value: Any = _many(leaf, given.raw) if leaf.many else _one(leaf, given.raw)
    except _Unfit as unfit:
        # Not chained, and the text of secrets never reaches the sentence.
        raise ConfigError(f"{leaf.path} {unfit} (from {given.origin})") from None
    return places.resolve(value) if leaf.kind is Path else value


def _many(leaf: Leaf, raw: Any) -> tuple[Any, ...]:
    items = [item.strip() for item in raw.split(",")] if isinstance(raw, str) and raw.strip() else raw
    if items is None or items in ("", []) or (isinstance(items, str) and not items.strip()):
        if leaf.default == ():
            return ()
        raise _no_value(leaf)
    if not isinstance(items, list):
        raise _unfit(leaf, raw, "not a list; write items with commas between them")
    values = [_one(leaf, item) for item in items]
    seen: set[Any] = set()
    for value, item in zip(values, items, strict=True):
        if value in seen:
            raise _unfit(leaf, item, "given twice in the list; keep one")
        seen.add(value)
    return tuple(values)


def _one(leaf: Leaf, raw: Any) -> Any:
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        if leaf.optional:
            return None
        raise _no_value(leaf)
    if leaf.choices:
        return _choice(leaf, raw)
    if leaf.kind is bool:
        return _boolean(leaf, raw)
    if leaf.kind in (int, float, Decimal):
        return _number(leaf, raw)
    return _text(leaf, raw)


def _choice(leaf: Leaf, raw: Any) -> str:
    if raw in leaf.choices:
        return str(raw)
    listed, closest = ", ".join(leaf.choices), _closest(str(raw), leaf.choices)
    raise _unfit(leaf, raw, f"not one of {listed}; the closest is '{closest}'")


def _boolean(leaf: Leaf, raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw.lower() in ("true", "false"):
        return raw.lower() == "true"
    raise _unfit(leaf, raw, "neither true nor false; write one of them")


def _number(leaf: Leaf, raw: Any) -> int | float | Decimal:
    if isinstance(raw, bool) or not isinstance(raw, (str, int, Decimal)):
        raise _unfit(leaf, raw, f"not a number; {_takes(leaf)}")
    text = raw if isinstance(raw, str) else _written(raw)
    try:
        number = parse_quantity(text, leaf.unit)
    except QuantityError as error:
        raise _unfit(leaf, raw, f"{error}; {_takes(leaf)}") from None
    if leaf.kind is int and number != int(number):
        raise _unfit(leaf, raw, f"not a whole number{_of(leaf)}; {_takes(leaf)}")
    low, high = leaf.key.minimum, leaf.key.maximum
    if low is not None and number < low:
        raise _unfit(leaf, raw, f"below the minimum of {low}; set it to {low} or more")
    if high is not None and number > high:
        raise _unfit(leaf, raw, f"above the maximum of {high}; set it to {high} or less")
    return number if leaf.kind is Decimal else leaf.kind(number)


def _text(leaf: Leaf, raw: Any) -> Any:
    if not isinstance(raw, str):
        raise _unfit(leaf, raw, "not text; write it in quotes")
    if leaf.key.pattern and not re.fullmatch(leaf.key.pattern, raw):
        raise _unfit(leaf, raw, f"not {leaf.key.shape or 'one line of text'}")
    return Secret(raw) if leaf.secret else raw


def _no_value(leaf: Leaf) -> _Unfit:
    default = leaf.key.default or _written(leaf.default)
    return _Unfit(f"has no value; set one, or remove the name to get the default, {default}")


def _unfit(leaf: Leaf, raw: Any, what: str) -> _Unfit:
    if leaf.secret:
        return _Unfit(f"is {what}")
    return _Unfit(f"is {_shown(raw)}, {what}")


def _of(leaf: Leaf) -> str:
    return f" of {leaf.unit.name}" if leaf.unit.symbol else ""


def _takes(leaf: Leaf) -> str:
    example = _written(leaf.default)
    if leaf.unit.symbol:
        return f"this key takes {leaf.unit.name}, for example {example} or '{example}{leaf.unit.symbol}'"
    return f"this key takes a plain number, for example {example}"


def _shown(raw: Any) -> str:
    """Write a refused value as it was given: numbers bare, text in quotes, long text cut."""
    if isinstance(raw, str) and not re.fullmatch(r"[-+]?[0-9]{1,40}(\.[0-9]{1,40})?", raw):
        return repr(raw if len(raw) <= 60 else raw[:60] + "...")
    if isinstance(raw, dict | list):
        return "a mapping" if isinstance(raw, dict) else "a list"
    return _written(raw)


def _written(value: Any) -> str:
    """Write a value the way it is given: plain decimals, commas between items, `***` for a secret."""
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case Decimal():
            return format(value, "f")
        case float():
            return format(Decimal(repr(value)), "f").removesuffix(".0")
        case tuple() | list():
            return ",".join(map(_written, value)) or "none"
        case _:
            return str(value)


_SOUNDS_SECRET = re.compile(r"key|secret|token|pass|pin\b|auth|credential|dsn|url|private", re.IGNORECASE)


def _unknown(kind: str, name: str, known: Mapping[str, Leaf] | list[str], value: Any = None) -> str:
    """One sentence for a name that does not exist; the value is masked when it may be a secret."""
    name = name if len(name) <= NAME_MAX else name[:NAME_MAX] + "..."
    closest = _closest(name, known)
    for leaf in _leaves().values():
        if leaf.key.name and leaf.key.name == name.rpartition(".")[2]:
            closest = leaf.path
    leaf = _leaves().get(closest) or _names()[closest][0]
    hidden = leaf.secret or _SOUNDS_SECRET.search(name)
    with_value = "" if value is None else f" with value {MASK if hidden else _shown(value)}"
    return f"unknown {kind} '{name}'{with_value}; did you mean '{closest}'?"


def _closest(name: str, known: Mapping[str, Leaf] | list[str] | tuple[str, ...]) -> str:
    return difflib.get_close_matches(name[:NAME_MAX], list(known), n=1, cutoff=0.0)[0]


# --- What people read ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One line of `promethean config show`."""

    path: str
    value: str
    origin: str
    unit: str
    help: str


def describe(settings: Settings) -> list[Row]:
    """Return every effective value with its origin, secrets as `***`, in the order of the tree."""
    return [
        Row(path, _written(settings.value(path)), settings.origins.get(path, "default"), leaf.unit_name, leaf.key.help)
        for path, leaf in _leaves().items()
    ]


_PAGE_HEAD = """\
# Configuration

This page is made from the settings classes by `python -m promethean.config`; edit `src/promethean/config.py` instead.

A value comes from the first of these that gives one:

1. the command line;
2. the environment;
3. `.env` in the working directory: lines `NAME=value`;
4. `promethean.yaml`: the file named by `--config`, else the one in the working directory, else the one in the home;
5. the default below.

Everything is checked before anything starts. An unknown key, an unknown `PROMETHEAN_` variable, a key given twice, a
value out of range or in the wrong unit, and a pair that cannot be (a maximum below its minimum) stop the start.
`promethean config show` prints the values in effect and where each came from.

- **Names.** The environment name of a key is `PROMETHEAN_` and its path in capitals, with underscores for dots. The
  shorter names below are read too, with and without the prefix. Two names that give one key different values are an
  error.
- **Units.** The end of a name says what its number counts. A text may carry a unit that converts exactly: `5%`,
  `20bps`, `150ms`, `2s`, `5m`, `1h`, `1d`, `512MiB`, `1GiB`.
- **Secrets.** Give a secret as a file by adding `_FILE` to its environment name, as in
  `ENCRYPTION_KEY_FILE=/run/secrets/key`. Secrets are refused on the command line and are never printed.
  Addresses of databases count as secrets: they may hold a password.
- **Lists.** Items with commas between them anywhere, or a YAML list.
- **YAML.** `no`, `on` and `12:30` are text. `012`, `1e3` and `0x1f` are refused, since versions of YAML read them
  differently: write numbers out, or put text in quotes. Tags and merge keys are refused.
- **Paths.** Relative paths start at the working directory; `~` is the user's home.
"""


def reference_page() -> str:
    """Return the text of `docs/configuration.md`."""
    sections = [_PAGE_HEAD]
    for name, field in Settings.model_fields.items():
        assert isinstance(field.annotation, type)
        rows = [_page_row(leaf) for path, leaf in _leaves().items() if path.startswith(f"{name}.")]
        sections.append(
            f"## {name}\n\n{field.annotation.__doc__}\n\n"
            "| Key | Environment | Default | Unit | Allowed | Meaning |\n|---|---|---|---|---|---|\n"
            + "\n".join(rows)
            + "\n"
        )
    return "\n".join(sections)


def _page_row(leaf: Leaf) -> str:
    default = leaf.key.default or f"`{_written(leaf.default)}`"
    names = f"`{leaf.names[0]}`" + (" (secret)" if leaf.secret else "")
    cells = (f"`{leaf.path}`", names, default, leaf.unit_name, _allowed(leaf), leaf.key.help)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _allowed(leaf: Leaf) -> str:
    if leaf.choices:
        return ", ".join(f"`{choice}`" for choice in leaf.choices)
    if leaf.kind is bool:
        return "`true`, `false`"
    if leaf.key.minimum is not None:
        return f"{leaf.key.minimum} to {leaf.key.maximum}"
    return leaf.key.shape


if __name__ == "__main__":
    sys.stdout.write(reference_page())
