"""The PostgreSQL tables (SPEC 3.1) as SQLAlchemy Core.

Ids are UUID text on both sides.  Facts (orders, fills, positions, ledger rows, decisions, evidence) get theirs from the
journal, so their ids have no default; every other id is a version 7 UUID made by the database.  Money, prices and
quantities are NUMERIC(38,18), instants people read TIMESTAMPTZ, instants that order facts `_ns` BIGINT.

A table with a `user_id` has a row-level-security policy, which a migration writes, and an index that starts with it.
"""

from __future__ import annotations

import enum
import secrets
import time
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    Enum,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from promethean.domain.accounts import AccountMode, TradingMode
from promethean.domain.instruments import MarketType
from promethean.domain.market import Side
from promethean.domain.orders import OrderRole, OrderStatus, OrderType, TimeInForce
from promethean.domain.signals import SignalSource, SignalType


class UserRole(enum.StrEnum):
    """What a person may do (SPEC 2.2)."""

    OWNER = "owner"
    ADMINISTRATOR = "administrator"
    TRADER = "trader"
    OBSERVER = "observer"


class TierName(enum.StrEnum):
    """Limit profiles (SPEC 2.3)."""

    FREE = "free"
    BASIC = "basic"
    PREMIUM = "premium"
    ENTERPRISE = "enterprise"


class ConnectionStatus(enum.StrEnum):
    """How the connection of an account to its venue is."""

    ACTIVE = "active"
    DEGRADED = "degraded"
    SUSPENDED = "suspended"
    INACTIVE = "inactive"


class StrategyState(enum.StrEnum):
    """Whether a strategy trades; a disabled one runs in shadow on paper."""

    ACTIVE = "active"
    PAUSED = "paused"
    DISABLED = "disabled"
    RETIRED = "retired"


class QuantityUnit(enum.StrEnum):
    """What a quantity counts."""

    BASE = "base"
    QUOTE = "quote"


class Liquidity(enum.StrEnum):
    """Whether a fill provided or took liquidity."""

    MAKER = "maker"
    TAKER = "taker"


class PositionSide(enum.StrEnum):
    """Which way a position gains."""

    LONG = "long"
    SHORT = "short"


class PositionStatus(enum.StrEnum):
    """Where a position is in its life."""

    OPEN = "open"
    CLOSED = "closed"
    LIQUIDATED = "liquidated"


class MarginMode(enum.StrEnum):
    """Which collateral stands behind a futures position."""

    ISOLATED = "isolated"
    CROSS = "cross"


class LedgerAccount(enum.StrEnum):
    """Accounts of the double-entry ledger."""

    CASH = "cash"
    RESERVED = "reserved"
    POSITION = "position"
    FEE = "fee"
    FUNDING = "funding"
    REALISED = "realised"
    EXTERNAL = "external"


class LedgerKind(enum.StrEnum):
    """Why money moved."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    OPEN = "open"
    CLOSE = "close"
    FEE = "fee"
    FUNDING = "funding"
    INTEREST = "interest"
    ADJUSTMENT = "adjustment"


class RiskVerdict(enum.StrEnum):
    """The answer of the risk check."""

    PASS = "pass"  # noqa: S105  a verdict, not a password
    REFUSED = "refused"


class RiskEventType(enum.StrEnum):
    """What a risk event tells."""

    DRAWDOWN_WARNING = "drawdown_warning"
    CONSECUTIVE_LOSS = "consecutive_loss"
    CIRCUIT_BREAKER_TRIGGERED = "circuit_breaker_triggered"
    MAX_EXPOSURE_REACHED = "max_exposure_reached"
    KILL_SWITCH_ACTIVATED = "kill_switch_activated"
    ANOMALY_DETECTED = "anomaly_detected"
    CRASH_GUARD = "crash_guard"
    RECONCILIATION_DRIFT = "reconciliation_drift"
    ORDER_UNKNOWN = "order_unknown"


class Severity(enum.StrEnum):
    """A critical risk event that nobody has acknowledged is a ticket."""

    WARNING = "warning"
    CRITICAL = "critical"


class BudgetScope(enum.StrEnum):
    """Whose exposure a budget bounds."""

    USER = "user"
    AGENT = "agent"
    STRATEGY = "strategy"
    PAIR = "pair"
    VENUE = "venue"
    PLATFORM = "platform"


class EvidenceKind(enum.StrEnum):
    """How a venue told us."""

    REPLY = "reply"
    STREAM = "stream"
    LOOKUP = "lookup"


class LatchScope(enum.StrEnum):
    """What a halt stops."""

    PLATFORM = "platform"
    USER = "user"
    ACCOUNT = "account"


class LatchKind(enum.StrEnum):
    """Which latch halts (RELIABILITY section 5)."""

    KILL = "kill"
    BREAKER = "breaker"
    CRASH_GUARD = "crash_guard"


METADATA = MetaData(
    naming_convention={  # for constraints the names PostgreSQL itself would choose
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

MONEY = Numeric(38, 18)
INSTANT = DateTime(timezone=True)
NOW = text("now()")
JSON_OBJECT = text("'{}'::jsonb")
JSON_ARRAY = text("'[]'::jsonb")


def new_id() -> str:
    """UUID text of version 7 for a row that is known here before the database sees it; later ones sort later."""
    instant_ms = time.time_ns() // 1_000_000
    return str(UUID(int=instant_ms << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)))


def _vocabulary(name: str, words: type[enum.StrEnum]) -> Enum:
    return Enum(words, name=name, metadata=METADATA, values_callable=lambda members: [word.value for word in members])


USER_ROLE = _vocabulary("user_role", UserRole)
TIER_NAME = _vocabulary("tier_name", TierName)
CONNECTION_STATUS = _vocabulary("connection_status", ConnectionStatus)
ACCOUNT_MODE = _vocabulary("account_mode", AccountMode)
MARKET_TYPE = _vocabulary("market_type", MarketType)
STRATEGY_STATE = _vocabulary("strategy_state", StrategyState)
TRADING_MODE = _vocabulary("trading_mode", TradingMode)
ORDER_SIDE = _vocabulary("order_side", Side)
ORDER_TYPE = _vocabulary("order_type", OrderType)
ORDER_ROLE = _vocabulary("order_role", OrderRole)
ORDER_STATUS = _vocabulary("order_status", OrderStatus)
TIME_IN_FORCE = _vocabulary("time_in_force", TimeInForce)
QUANTITY_UNIT = _vocabulary("quantity_unit", QuantityUnit)
LIQUIDITY = _vocabulary("liquidity", Liquidity)
POSITION_SIDE = _vocabulary("position_side", PositionSide)
POSITION_STATUS = _vocabulary("position_status", PositionStatus)
MARGIN_MODE = _vocabulary("margin_mode", MarginMode)
LEDGER_ACCOUNT = _vocabulary("ledger_account", LedgerAccount)
LEDGER_KIND = _vocabulary("ledger_kind", LedgerKind)
SIGNAL_TYPE = _vocabulary("signal_type", SignalType)
SIGNAL_SOURCE = _vocabulary("signal_source", SignalSource)
RISK_VERDICT = _vocabulary("risk_verdict", RiskVerdict)
RISK_EVENT_TYPE = _vocabulary("risk_event_type", RiskEventType)
SEVERITY = _vocabulary("severity", Severity)
BUDGET_SCOPE = _vocabulary("budget_scope", BudgetScope)
EVIDENCE_KIND = _vocabulary("evidence_kind", EvidenceKind)
LATCH_SCOPE = _vocabulary("latch_scope", LatchScope)
LATCH_KIND = _vocabulary("latch_kind", LatchKind)


def _reference(name: str, *columns: Any) -> Table:
    """A table whose rows are made here: the database gives the id."""
    key = Column("id", _id(), primary_key=True, server_default=text("uuid_v7()"))
    return Table(name, METADATA, key, *_times(), *columns)


def _facts(name: str, *columns: Any) -> Table:
    """A table of what happened: the writer gives an id that follows from the journal."""
    return Table(name, METADATA, Column("id", _id(), primary_key=True), *_times(), *columns)


def _id() -> Uuid[str]:
    return Uuid(as_uuid=False)


def _times() -> tuple[Column[Any], Column[Any]]:
    # A trigger keeps updated_at, so that no writer can forget it.
    return (
        Column("created_at", INSTANT, nullable=False, server_default=NOW),
        Column("updated_at", INSTANT, nullable=False, server_default=NOW),
    )


def _owner() -> Column[Any]:
    return Column("user_id", _id(), nullable=False)


def _amount(name: str, *, nullable: bool = True) -> Column[Any]:
    return Column(name, MONEY, nullable=nullable)


def _sum(name: str) -> Column[Any]:
    return Column(name, MONEY, nullable=False, server_default=text("0"))


def _count(name: str) -> Column[Any]:
    return Column(name, Integer, nullable=False, server_default=text("0"))


def _flag(name: str, default: bool) -> Column[Any]:
    return Column(name, Boolean, nullable=False, server_default=text("true" if default else "false"))


LIMIT_PROFILES = _reference(
    "limit_profiles",
    Column("name", TIER_NAME, nullable=False, unique=True),
    Column("limits", JSONB, nullable=False),  # a check constraint of the migration names the keys that must be there
    CheckConstraint("jsonb_typeof(limits) = 'object'", name="limits"),
)

USERS = _reference(
    "users",
    Column("telegram_id", BigInteger, unique=True),
    Column("telegram_username", Text),
    Column("first_name", Text),
    Column("last_name", Text),
    Column("language", Text, nullable=False, server_default=text("'en'")),
    Column("email", Text),
    Column("role", USER_ROLE, nullable=False),
    _flag("is_active", default=True),
    Column("limit_profile_id", _id(), ForeignKey(LIMIT_PROFILES.c.id), nullable=False),
    Column("settings", JSONB, nullable=False, server_default=JSON_OBJECT),
    Column("pin_hash", Text),
    Column("webauthn_credentials", JSONB, nullable=False, server_default=JSON_ARRAY),
    Column("killed_at", INSTANT),
    Column("killed_reason", Text),
    # The person who installed the platform: there is one, whoever starts first.
    Index("users_one_owner_idx", "role", unique=True, postgresql_where=text("role = 'owner'")),
)

EXCHANGE_ACCOUNTS = _reference(
    "exchange_accounts",
    Column("user_id", _id(), ForeignKey(USERS.c.id), nullable=False),
    Column("exchange", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("api_key_encrypted", LargeBinary),
    Column("api_secret_encrypted", LargeBinary),
    Column("api_passphrase_encrypted", LargeBinary),
    Column("key_version", Integer, nullable=False, server_default=text("0")),
    _flag("is_paper", default=True),
    _flag("is_testnet", default=False),
    Column("permissions", ARRAY(Text), nullable=False, server_default=text("'{}'::text[]")),
    Column("ip_restricted", Boolean),  # NULL: not known yet
    _flag("is_active", default=True),
    Column("status", CONNECTION_STATUS, nullable=False, server_default=text("'inactive'")),
    Column("mode", ACCOUNT_MODE, nullable=False, server_default=text("'ACTIVE'")),
    Column("last_sync_at", INSTANT),
    Column("last_key_check_at", INSTANT),
    Column("listen_key_encrypted", LargeBinary),
    Column("listen_key_expires_at", INSTANT),
    UniqueConstraint("user_id", "exchange", "label"),
)

STRATEGIES = _reference(
    "strategies",
    _owner(),
    Column("name", Text, nullable=False),
    Column("class_name", Text),
    Column("config", JSONB, nullable=False, server_default=JSON_OBJECT),
    Column("config_hash", Text, nullable=False),
    Column("state", STRATEGY_STATE, nullable=False, server_default=text("'active'")),
    Column("mode", TRADING_MODE, nullable=False, server_default=text("'paper'")),
    _amount("allocated_capital"),
    _amount("cash_reserve"),
    Column("target_allocations", JSONB),
    Column("rebalance_frequency", Text),
    Column("disabled_at", INSTANT),
    Column("disabled_reason", Text),
    Column("shadow_since", INSTANT),
    UniqueConstraint("user_id", "name"),
)

ORDERS = _facts(
    "orders",
    _owner(),
    Column("strategy_id", _id()),
    Column("trading_pair_id", _id()),
    Column("exchange_account_id", _id(), ForeignKey(EXCHANGE_ACCOUNTS.c.id), nullable=False),
    Column("client_order_id", Text, nullable=False, unique=True),
    Column("exchange_order_id", Text),
    Column("symbol", Text, nullable=False),
    Column("market_type", MARKET_TYPE, nullable=False),
    Column("side", ORDER_SIDE, nullable=False),
    Column("type", ORDER_TYPE, nullable=False),
    Column("role", ORDER_ROLE, nullable=False),
    Column("time_in_force", TIME_IN_FORCE, nullable=False),
    Column("status", ORDER_STATUS, nullable=False),
    _amount("price"),
    _amount("quantity", nullable=False),
    Column("quantity_unit", QUANTITY_UNIT, nullable=False, server_default=text("'base'")),
    _sum("filled_quantity"),
    _amount("average_price"),
    _amount("stop_price"),
    _flag("reduce_only", default=False),
    _flag("post_only", default=False),
    Column("parent_order_id", _id()),
    Column("group_id", _id()),
    Column("algorithm", Text),
    Column("agent", Text),
    Column("reasoning", Text),
    Column("risk_decision_id", _id(), nullable=False),
    Column("parameter_hash", Text, nullable=False),
    _sum("reservation"),
    Column("fencing_epoch", BigInteger, nullable=False),
    Column("evidence_id", _id()),
    _sum("fee"),
    Column("fee_currency", Text),
    Column("decided_at_ns", BigInteger, nullable=False),
    Column("valid_until_ns", BigInteger),
    Column("expires_at_ns", BigInteger),
    Column("sent_at", INSTANT),
    Column("filled_at", INSTANT),
    CheckConstraint("quantity > 0", name="quantity"),
    CheckConstraint(
        "filled_quantity >= 0 AND (quantity_unit <> 'base' OR filled_quantity <= quantity)", name="filled_quantity"
    ),
    # "I do not know" is never written down as "it failed": an end is what the venue said.  A dropped order was never
    # sent, so nothing can have been said about it.
    CheckConstraint(
        "evidence_id IS NOT NULL OR status NOT IN ('rejected', 'absent', 'filled', 'cancelled', 'expired')",
        name="evidence",
    ),
    Index(None, "user_id", "exchange_account_id", "decided_at_ns"),
    Index("orders_working_idx", "exchange_account_id", "symbol",
          postgresql_where=text("status IN ('planned', 'sending', 'unknown', 'open', 'partially_filled')")),
)  # fmt: skip

FILLS = _facts(
    "fills",
    _owner(),
    Column("exchange_account_id", _id(), nullable=False),
    Column("order_id", _id(), ForeignKey(ORDERS.c.id), nullable=False),
    Column("venue_trade_id", Text, nullable=False),
    _amount("price", nullable=False),
    _amount("quantity", nullable=False),
    _amount("fee", nullable=False),
    Column("fee_currency", Text, nullable=False),
    Column("liquidity", LIQUIDITY, nullable=False),
    Column("executed_at_ns", BigInteger, nullable=False),
    Column("received_at_ns", BigInteger, nullable=False),
    _amount("arrival_mid"),
    UniqueConstraint("exchange_account_id", "venue_trade_id"),
    CheckConstraint("price > 0 AND quantity > 0", name="positive"),
    Index(None, "user_id", "executed_at_ns"),
    Index(None, "order_id"),
)

POSITIONS = _facts(
    "positions",
    _owner(),
    Column("exchange_account_id", _id(), nullable=False),
    Column("strategy_id", _id()),
    Column("symbol", Text, nullable=False),
    Column("market_type", MARKET_TYPE, nullable=False),
    Column("side", POSITION_SIDE, nullable=False),
    _amount("quantity", nullable=False),
    _amount("original_quantity", nullable=False),
    _amount("entry_price", nullable=False),
    _amount("mark_price"),
    _amount("liquidation_price"),
    Column("leverage", Numeric(10, 4), nullable=False, server_default=text("1")),
    Column("margin_mode", MARGIN_MODE),
    _amount("unrealised_pnl"),  # NULL: not measured
    _sum("realised_pnl"),
    _sum("fees"),
    _amount("funding"),
    _amount("stop_loss_price"),
    Column("take_profit_tiers", JSONB, nullable=False, server_default=JSON_ARRAY),
    Column("trailing_stop_pct", Numeric(18, 9)),
    _amount("best_price"),
    Column("stop_order_id", _id()),
    Column("open_reasoning", Text),
    Column("thesis", JSONB),
    Column("status", POSITION_STATUS, nullable=False),
    Column("opened_at", INSTANT, nullable=False),
    Column("closed_at", INSTANT),
    Column("close_reason", Text),
    CheckConstraint("quantity >= 0", name="quantity"),  # `side` says which way
    CheckConstraint("(status = 'open') = (closed_at IS NULL)", name="closed"),
    Index(None, "user_id", "exchange_account_id", "opened_at"),
    Index("positions_open_idx", "exchange_account_id", "symbol", postgresql_where=text("status = 'open'")),
)

LEDGER_ENTRIES = _facts(
    "ledger_entries",
    Column("transaction_id", _id(), nullable=False),  # a deferred trigger: each sums to zero per currency
    _owner(),
    Column("exchange_account_id", _id(), nullable=False),
    Column("account", LEDGER_ACCOUNT, nullable=False),
    Column("currency", Text, nullable=False),
    _amount("amount", nullable=False),
    Column("order_id", _id()),
    Column("fill_id", _id()),
    Column("kind", LEDGER_KIND, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    CheckConstraint("amount <> 0", name="amount"),
    Index(None, "transaction_id"),
    Index(None, "user_id", "exchange_account_id", "at_ns"),
)

EQUITY_SNAPSHOTS = _facts(
    "equity_snapshots",
    _owner(),
    Column("exchange_account_id", _id(), nullable=False),
    Column("strategy_id", _id()),
    Column("at", INSTANT, nullable=False),
    _amount("equity", nullable=False),
    _amount("cash", nullable=False),
    _amount("unrealised", nullable=False),
    _amount("day_start_equity"),
    UniqueConstraint(
        "exchange_account_id", "strategy_id", "at", name="equity_snapshots_once_key", postgresql_nulls_not_distinct=True
    ),
    Index(None, "user_id", "at"),
)

SIGNALS = _facts(
    "signals",
    Column("user_id", _id()),  # NULL: a signal for everybody
    Column("strategy_id", _id()),
    Column("symbol", Text, nullable=False),
    Column("timeframe", Text, nullable=False),
    Column("type", SIGNAL_TYPE, nullable=False),
    Column("source", SIGNAL_SOURCE, nullable=False),
    Column("confidence", Double, nullable=False),
    Column("reason", Text, nullable=False),
    Column("metadata", JSONB, nullable=False, server_default=JSON_OBJECT),
    Column("close_percentage", Double),
    _flag("executed", default=False),
    Column("order_id", _id()),
    Column("at_ns", BigInteger, nullable=False),
    CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence"),
    Index(None, "user_id", "at_ns"),
)

RISK_DECISIONS = _facts(
    "risk_decisions",
    _owner(),
    Column("intent_id", _id()),
    Column("verdict", RISK_VERDICT, nullable=False),
    Column("code", Text),
    Column("inputs_hash", Text, nullable=False),
    Column("inputs", JSONB, nullable=False),
    Column("limits_hash", Text, nullable=False),
    Column("build_hash", Text, nullable=False),
    Column("decided_at_ns", BigInteger, nullable=False),
    Column("latency_us", BigInteger),
    CheckConstraint("(verdict = 'refused') = (code IS NOT NULL)", name="code"),
    CheckConstraint("verdict = 'refused' OR intent_id IS NOT NULL", name="intent"),
    Index(None, "user_id", "decided_at_ns"),
    Index("risk_decisions_one_pass_idx", "intent_id", unique=True, postgresql_where=text("verdict = 'pass'")),
)

CIRCUIT_BREAKER_STATES = _reference(
    "circuit_breaker_states",
    Column("user_id", _id(), nullable=False, unique=True),
    _flag("is_triggered", default=False),
    Column("triggered_at", INSTANT),
    Column("reason", Text),
    Column("day", Date, nullable=False),
    _amount("day_start_equity"),  # NULL: not established, which blocks new risk
    _sum("realised_pnl"),
    _amount("unrealised_pnl"),  # NULL: not measured
    _sum("fees"),
    _amount("funding"),
    Column("daily_pnl_ratio", Double),
    _count("trades"),
    _count("wins"),
    _count("losses"),
    _count("consecutive_losses"),
    Column("limits", JSONB, nullable=False, server_default=JSON_OBJECT),
    Column("reset_at", INSTANT),
)

RISK_EVENTS = _reference(
    "risk_events",
    Column("user_id", _id()),  # NULL: about the platform
    Column("event_type", RISK_EVENT_TYPE, nullable=False),
    Column("severity", SEVERITY, nullable=False),
    Column("message", Text, nullable=False),
    Column("data", JSONB, nullable=False, server_default=JSON_OBJECT),
    Column("acknowledged_by", Text),
    Column("acknowledged_at", INSTANT),
    CheckConstraint("(acknowledged_by IS NULL) = (acknowledged_at IS NULL)", name="acknowledged"),
    Index(None, "user_id", "created_at"),
)

# The journal.  Nothing else hangs on it, so that COPY stays fast; COPY refuses tables with row-level security.
EVENTS = Table(
    "events",
    METADATA,
    Column("stream", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("type", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("happened_at_ns", BigInteger, nullable=False),
    Column("received_at_ns", BigInteger, nullable=False),
    Column("previous_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

EVENT_OFFSETS = Table(
    "event_offsets",
    METADATA,
    Column("consumer", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    *_times(),
)

ACCOUNT_LEASES = _reference(
    "account_leases",
    Column("exchange_account_id", _id(), nullable=False, unique=True),
    Column("epoch", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),
    Column("build_hash", Text, nullable=False),
    Column("config_hash", Text, nullable=False),
    Column("expires_at", INSTANT, nullable=False),
)

BUDGETS = _reference(
    "budgets",
    Column("user_id", _id()),  # NULL: of the platform
    Column("scope", BUDGET_SCOPE, nullable=False),
    Column("scope_id", Text, nullable=False),
    _amount("cap", nullable=False),
    _sum("reserved"),
    _sum("used"),
    # Not `reserved + used <= cap`: lowering a cap below what is out takes effect at once.
    CheckConstraint("reserved >= 0", name="reserved"),
    CheckConstraint("used >= 0", name="used"),
    UniqueConstraint("scope", "scope_id"),
    Index(None, "user_id"),
)

RESERVATIONS = _facts(
    "reservations",
    _owner(),
    Column("intent_id", _id(), nullable=False),
    Column("budget_id", _id(), nullable=False),
    _amount("amount", nullable=False),
    Column("released_at", INSTANT),
    CheckConstraint("amount > 0", name="amount"),
    UniqueConstraint("intent_id", "budget_id"),
    Index(None, "user_id"),
)

VENUE_EVIDENCE = _facts(
    "venue_evidence",
    _owner(),
    Column("order_id", _id(), nullable=False),
    Column("kind", EVIDENCE_KIND, nullable=False),
    Column("body", Text, nullable=False),  # as received, readable or not
    Column("received_at", INSTANT, nullable=False),
    Index(None, "user_id", "order_id"),
)

HALT_LATCHES = _reference(
    "halt_latches",
    Column("user_id", _id()),  # NULL: the whole platform
    Column("scope", LATCH_SCOPE, nullable=False),
    Column("scope_id", Text, nullable=False, server_default=text("''")),
    Column("kind", LATCH_KIND, nullable=False),
    Column("reason", Text, nullable=False),
    Column("set_by", Text, nullable=False),
    Column("set_at", INSTANT, nullable=False),
    Column("lifted_by", Text),
    Column("lifted_at", INSTANT),
    Column("nonce", Text, unique=True),  # hash of the single-use nonce it was lifted with
    CheckConstraint("(lifted_at IS NULL) = (lifted_by IS NULL)", name="lifted"),
    CheckConstraint("(scope = 'platform') = (scope_id = '')", name="scope_id"),
    Index(None, "user_id"),
    Index("halt_latches_set_idx", "scope", "scope_id", "kind", unique=True, postgresql_where=text("lifted_at IS NULL")),
)

RISK_LIMITS = _reference(
    "risk_limits",
    _owner(),
    Column("code", Text, nullable=False),
    _amount("value", nullable=False),
    Column("set_by", Text, nullable=False),
    Column("effective_at", INSTANT, nullable=False, server_default=NOW),
    UniqueConstraint("user_id", "code", "effective_at"),
)
