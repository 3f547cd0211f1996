"""Everything the first version stores: users, accounts, orders, money, signals, risk, and the journal.

Written out, not derived from `tables.py`: what a migration did must not change when the tables move on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ENUM, JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ENUMS = {
    "user_role": ("owner", "administrator", "trader", "observer"),
    "tier_name": ("free", "basic", "premium", "enterprise"),
    "connection_status": ("active", "degraded", "suspended", "inactive"),
    "account_mode": ("ACTIVE", "REDUCING", "HALTED", "READ_ONLY"),
    "market_type": ("spot", "futures"),
    "strategy_state": ("active", "paused", "disabled", "retired"),
    "trading_mode": ("backtest", "paper", "live"),
    "order_side": ("buy", "sell"),
    "order_type": ("market", "limit", "stop_market", "stop_limit"),
    "order_role": ("entry", "stop", "target", "signal", "manual", "breaker", "kill"),
    "order_status": (
        "planned",
        "sending",
        "unknown",
        "open",
        "partially_filled",
        "dropped",
        "rejected",
        "absent",
        "filled",
        "cancelled",
        "expired",
    ),
    "time_in_force": ("GTC", "IOC", "FOK", "GTD"),
    "quantity_unit": ("base", "quote"),
    "liquidity": ("maker", "taker"),
    "position_side": ("long", "short"),
    "position_status": ("open", "closed", "liquidated"),
    "margin_mode": ("isolated", "cross"),
    "ledger_account": ("cash", "reserved", "position", "fee", "funding", "realised", "external"),
    "ledger_kind": ("deposit", "withdrawal", "open", "close", "fee", "funding", "interest", "adjustment"),
    "signal_type": ("BUY", "SELL", "CLOSE", "PARTIAL_CLOSE"),
    "signal_source": (
        "TECHNICAL",
        "ORDERBOOK",
        "ML_MODEL",
        "RL_MODEL",
        "AGENT",
        "CHART_VISION",
        "NEWS",
        "MARKET_CONTEXT",
        "RISK",
        "MANUAL",
    ),
    "risk_verdict": ("pass", "refused"),
    "risk_event_type": (
        "drawdown_warning",
        "consecutive_loss",
        "circuit_breaker_triggered",
        "max_exposure_reached",
        "kill_switch_activated",
        "anomaly_detected",
        "crash_guard",
        "reconciliation_drift",
        "order_unknown",
    ),
    "severity": ("warning", "critical"),
    "budget_scope": ("user", "agent", "strategy", "pair", "venue", "platform"),
    "evidence_kind": ("reply", "stream", "lookup"),
    "latch_scope": ("platform", "user", "account"),
    "latch_kind": ("kill", "breaker", "crash_guard"),
}

TABLES = (
    """
    CREATE TABLE limit_profiles (
        id uuid PRIMARY KEY DEFAULT uuid_v7(),
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        name tier_name NOT NULL,
        limits jsonb NOT NULL,
        CONSTRAINT limit_profiles_limits_check CHECK (jsonb_typeof(limits) = 'object'),
        UNIQUE (name)
    )
    """,
    """
    CREATE TABLE users (
        id uuid PRIMARY KEY DEFAULT uuid_v7(),
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        telegram_id bigint,
        telegram_username text,
        first_name text,
        last_name text,
        language text NOT NULL DEFAULT 'en',
        email text,
        role user_role NOT NULL,
        is_active boolean NOT NULL DEFAULT true,
        limit_profile_id uuid NOT NULL REFERENCES limit_profiles,
        settings jsonb NOT NULL DEFAULT '{}',
        pin_hash text,
        webauthn_credentials jsonb NOT NULL DEFAULT '[]',
        killed_at timestamptz,
        killed_reason text,
        UNIQUE (telegram_id)
    )
    """,
    """
    CREATE TABLE exchange_accounts (
        id uuid PRIMARY KEY DEFAULT uuid_v7(),
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        user_id uuid NOT NULL REFERENCES users,
        exchange text NOT NULL,
        label text NOT NULL,
        api_key_encrypted bytea,
        api_secret_encrypted bytea,
        api_passphrase_encrypted bytea,
        key_version integer NOT NULL DEFAULT 0,
        is_paper boolean NOT NULL DEFAULT true,
        is_testnet boolean NOT NULL DEFAULT false,
        permissions text[] NOT NULL DEFAULT '{}',
        ip_restricted boolean,
        is_active boolean NOT NULL DEFAULT true,
        status connection_status NOT NULL DEFAULT 'inactive',
        mode account_mode NOT NULL DEFAULT 'ACTIVE',
        last_sync_at timestamptz,
        last_key_check_at timestamptz,
        listen_key_encrypted bytea,
        listen_key_expires_at timestamptz,
        UNIQUE (user_id, exchange, label)
    )
    """,
    """
    CREATE TABLE strategies (
        id uuid PRIMARY KEY DEFAULT uuid_v7(),
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        user_id uuid NOT NULL,
        name text NOT NULL,
        class_name text,
        config jsonb NOT NULL DEFAULT '{}',
        config_hash text NOT NULL,
        state strategy_state NOT NULL DEFAULT 'active',
        mode trading_mode NOT NULL DEFAULT 'paper',
        allocated_capital numeric(38,18),
        cash_reserve numeric(38,18),
        target_allocations jsonb,
        rebalance_frequency text,
        disabled_at timestamptz,
        disabled_reason text,
        shadow_since timestamptz,
        UNIQUE (user_id, name)
    )
    """,
    """
    CREATE TABLE orders (
        id uuid PRIMARY KEY,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        user_id uuid NOT NULL,
        strategy_id uuid,
        trading_pair_id uuid,
        exchange_account_id uuid NOT NULL REFERENCES exchange_accounts,
        client_order_id text NOT NULL,
        exchange_order_id text,
        symbol text NOT NULL,
        market_type market_type NOT NULL,
        side order_side NOT NULL,
        type order_type NOT NULL,
        role order_role NOT NULL,
        time_in_force time_in_force NOT NULL,
        status order_status NOT NULL,
        price numeric(38,18),
        quantity numeric(38,18) NOT NULL,
        quantity_unit quantity_unit NOT NULL DEFAULT 'base',
        filled_quantity numeric(38,18) NOT NULL DEFAULT 0,
        average_price numeric(38,18),
        stop_price numeric(38,18),
        reduce_only boolean NOT NULL DEFAULT false,
        post_only boolean NOT NULL DEFAULT false,
        parent_order_id uuid,
        group_id uuid,
        algorithm text,
        agent text,
        reasoning text,
        risk_decision_id uuid NOT NULL,
        parameter_hash text NOT NULL,
        reservation numeric(38,18) NOT NULL DEFAULT 0,
        fencing_epoch bigint NOT NULL,
        evidence_id uuid,
        fee numeric(38,18) NOT NULL DEFAULT 0,
        fee_currency text,
        decided_at_ns bigint NOT NULL,
        valid_until_ns bigint,
        expires_at_ns bigint,
        sent_at timestamptz,
        filled_at timestamptz,
        CONSTRAINT orders_quantity_check CHECK (quantity > 0),
        CONSTRAINT orders_filled_quantity_check
            CHECK (filled_quantity >= 0 AND (quantity_unit <> 'base' OR filled_quantity <= quantity)),
        CONSTRAINT orders_evidence_check
            CHECK (evidence_id IS NOT NULL OR status NOT IN ('rejected', 'absent', 'filled', 'cancelled', 'expired')),
        UNIQUE (client_order_id)
    )
    """,
    """
    CREATE TABLE fills (
        id uuid PRIMARY KEY,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        user_id uuid NOT NULL,
        exchange_account_id uuid NOT NULL,
        order_id uuid NOT NULL REFERENCES orders,
        venue_trade_id text NOT NULL,
        price numeric(38,18) NOT NULL,
        quantity numeric(38,18) NOT NULL,
        fee numeric(38,18) NOT NULL,
        fee_currency text NOT NULL,
        liquidity liquidity NOT NULL,
        executed_at_ns bigint NOT NULL,
        received_at_ns bigint NOT NULL,
        arrival_mid numeric(38,18),
        UNIQUE (exchange_account_id, venue_trade_id),
        CONSTRAINT fills_positive_check CHECK (price > 0 AND quantity > 0)
    )
    """,
    """
    CREATE TABLE positions (
        id uuid PRIMARY KEY,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        user_id uuid NOT NULL,
        exchange_account_id uuid NOT NULL,
        strategy_id uuid,
        symbol text NOT NULL,
        market_type market_type NOT NULL,
        side position_side NOT NULL,
        quantity numeric(38,18) NOT NULL,
        original_quantity numeric(38,18) NOT NULL,
        entry_price numeric(38,18) NOT NULL,
        mark_price numeric(38,18),
        liquidation_price numeric(38,18),
        leverage numeric(10,4) NOT NULL DEFAULT 1,
        margin_mode margin_mode,
        unrealised_pnl numeric(38,18) NOT NULL DEFAULT 0,
        realised_pnl numeric(38,18) NOT NULL DEFAULT 0,
        fees numeric(38,18) NOT NULL DEFAULT 0,
        funding numeric(38,18) NOT NULL DEFAULT 0,
        stop_loss_price numeric(38,18),
        take_profit_tiers jsonb NOT NULL DEFAULT '[]',
        trailing_stop_pct numeric(18, 9),
        best_price numeric(38,18),
        stop_order_id uuid,
        open_reasoning text,
        thesis jsonb,
        status position_status NOT NULL,
        opened_at timestamptz NOT NULL,
        closed_at timestamptz,
        close_reason text,
        CONSTRAINT positions_quantity_check CHECK (quantity >= 0),
        CONSTRAINT positions_closed_check CHECK ((status = 'open') = (closed_at IS NULL))
    )
    """,
    """
    CREATE TABLE ledger_entries (
        id uuid PRIMARY KEY,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        transaction_id uuid NOT NULL,
        user_id uuid NOT NULL,
        exchange_account_id uuid NOT NULL,
        account ledger_account NOT NULL,
        currency text NOT NULL,
        amount numeric(38,18) NOT NULL,
        order_id uuid,
        fill_id uuid,
        kind ledger_kind NOT NULL,
        at_ns bigint NOT NULL,
        CONSTRAINT ledger_entries_amount_check CHECK (amount <> 0)
    )
    """,
    """
    CREATE TABLE equity_snapshots (
        id uuid PRIMARY KEY,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        user_id uuid NOT NULL,
        exchange_account_id uuid NOT NULL,
        strategy_id uuid,
        at timestamptz NOT NULL,
        equity numeric(38,18) NOT NULL,
        cash numeric(38,18) NOT NULL,
        unrealised numeric(38,18) NOT NULL,
        day_start_equity numeric(38,18),
        CONSTRAINT equity_snapshots_once_key UNIQUE NULLS NOT DISTINCT (exchange_account_id, strategy_id, at)
    )
    """,
    """
    CREATE TABLE signals (
        id uuid PRIMARY KEY,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        user_id uuid,
        strategy_id uuid,
        symbol text NOT NULL,
        timeframe text NOT NULL,
        type signal_type NOT NULL,
        source signal_source NOT NULL,
        confidence double precision NOT NULL,
        reason text NOT NULL,
        metadata jsonb NOT NULL DEFAULT '{}',
        close_percentage double precision,
        executed boolean NOT NULL DEFAULT false,
        order_id uuid,
        at_ns bigint NOT NULL,
        CONSTRAINT signals_confidence_check CHECK (confidence BETWEEN 0 AND 1)
    )
    """,
    """
    CREATE TABLE risk_decisions (
        id uuid PRIMARY KEY,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        user_id uuid NOT NULL,
        intent_id uuid,
        verdict risk_verdict NOT NULL,
        code text,
        inputs_hash text NOT NULL,
        inputs jsonb NOT NULL,
        limits_hash text NOT NULL,
        build_hash text NOT NULL,
        decided_at_ns bigint NOT NULL,
        latency_us bigint,
        CONSTRAINT risk_decisions_code_check CHECK ((verdict = 'refused') = (code IS NOT NULL)),
        CONSTRAINT risk_decisions_intent_check CHECK (verdict = 'refused' OR intent_id IS NOT NULL)
    )
    """,
    """
    CREATE TABLE circuit_breaker_states (
        id uuid PRIMARY KEY DEFAULT uuid_v7(),
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        user_id uuid NOT NULL,
        is_triggered boolean NOT NULL DEFAULT false,
        triggered_at timestamptz,
        reason text,
        day date NOT NULL,
        day_start_equity numeric(38,18),
        realised_pnl numeric(38,18) NOT NULL DEFAULT 0,
        unrealised_pnl numeric(38,18) NOT NULL DEFAULT 0,
        fees numeric(38,18) NOT NULL DEFAULT 0,
        funding numeric(38,18) NOT NULL DEFAULT 0,
        daily_pnl_ratio double precision,
        trades integer NOT NULL DEFAULT 0,
        wins integer NOT NULL DEFAULT 0,
        losses integer NOT NULL DEFAULT 0,
        consecutive_losses integer NOT NULL DEFAULT 0,
        limits jsonb NOT NULL DEFAULT '{}',
        reset_at timestamptz,
        UNIQUE (user_id)
    )
    """,
    """
    CREATE TABLE risk_events (
        id uuid PRIMARY KEY DEFAULT uuid_v7(),
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        user_id uuid,
        event_type risk_event_type NOT NULL,
        severity severity NOT NULL,
        message text NOT NULL,
        data jsonb NOT NULL DEFAULT '{}',
        acknowledged_by text,
        acknowledged_at timestamptz,
        CONSTRAINT risk_events_acknowledged_check CHECK ((acknowledged_by IS NULL) = (acknowledged_at IS NULL))
    )
    """,
    """
    CREATE TABLE events (
        stream text NOT NULL,
        sequence bigint NOT NULL,
        type text NOT NULL,
        payload jsonb NOT NULL,
        happened_at_ns bigint NOT NULL,
        received_at_ns bigint NOT NULL,
        previous_hash bytea NOT NULL,
        hash bytea NOT NULL,
        PRIMARY KEY (stream, sequence)
    )
    """,
    """
    CREATE TABLE event_offsets (
        consumer text NOT NULL,
        stream text NOT NULL,
        sequence bigint NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (consumer, stream)
    )
    """,
    """
    CREATE TABLE account_leases (
        id uuid PRIMARY KEY DEFAULT uuid_v7(),
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        exchange_account_id uuid NOT NULL,
        epoch bigint NOT NULL,
        holder text NOT NULL,
        build_hash text NOT NULL,
        config_hash text NOT NULL,
        expires_at timestamptz NOT NULL,
        UNIQUE (exchange_account_id)
    )
    """,
    """
    CREATE TABLE budgets (
        id uuid PRIMARY KEY DEFAULT uuid_v7(),
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        user_id uuid,
        scope budget_scope NOT NULL,
        scope_id text NOT NULL,
        cap numeric(38,18) NOT NULL,
        reserved numeric(38,18) NOT NULL DEFAULT 0,
        used numeric(38,18) NOT NULL DEFAULT 0,
        CONSTRAINT budgets_reserved_check CHECK (reserved >= 0),
        CONSTRAINT budgets_used_check CHECK (used >= 0),
        UNIQUE (scope, scope_id)
    )
    """,
    """
    CREATE TABLE reservations (
        id uuid PRIMARY KEY,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        user_id uuid NOT NULL,
        intent_id uuid NOT NULL,
        budget_id uuid NOT NULL,
        amount numeric(38,18) NOT NULL,
        released_at timestamptz,
        CONSTRAINT reservations_amount_check CHECK (amount > 0),
        UNIQUE (intent_id, budget_id)
    )
    """,
    """
    CREATE TABLE venue_evidence (
        id uuid PRIMARY KEY,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        user_id uuid NOT NULL,
        order_id uuid NOT NULL,
        kind evidence_kind NOT NULL,
        body text NOT NULL,
        received_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE halt_latches (
        id uuid PRIMARY KEY DEFAULT uuid_v7(),
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        user_id uuid,
        scope latch_scope NOT NULL,
        scope_id text NOT NULL DEFAULT '',
        kind latch_kind NOT NULL,
        reason text NOT NULL,
        set_by text NOT NULL,
        set_at timestamptz NOT NULL,
        lifted_by text,
        lifted_at timestamptz,
        nonce text,
        CONSTRAINT halt_latches_lifted_check CHECK ((lifted_at IS NULL) = (lifted_by IS NULL)),
        CONSTRAINT halt_latches_scope_id_check CHECK ((scope = 'platform') = (scope_id = '')),
        CONSTRAINT halt_latches_nonce_key UNIQUE (nonce)
    )
    """,
    """
    CREATE TABLE risk_limits (
        id uuid PRIMARY KEY DEFAULT uuid_v7(),
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        user_id uuid NOT NULL,
        code text NOT NULL,
        value numeric(38,18) NOT NULL,
        set_by text NOT NULL,
        effective_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE (user_id, code, effective_at)
    )
    """,
)

INDEXES = (
    "CREATE UNIQUE INDEX users_one_owner_idx ON users (role) WHERE role = 'owner'",
    "CREATE INDEX orders_user_id_idx ON orders (user_id, exchange_account_id, decided_at_ns)",
    """
    CREATE INDEX orders_working_idx ON orders (exchange_account_id, symbol)
    WHERE status IN ('planned', 'sending', 'unknown', 'open', 'partially_filled')
    """,
    "CREATE INDEX fills_order_id_idx ON fills (order_id)",
    "CREATE INDEX fills_user_id_idx ON fills (user_id, executed_at_ns)",
    "CREATE INDEX positions_open_idx ON positions (exchange_account_id, symbol) WHERE status = 'open'",
    "CREATE INDEX positions_user_id_idx ON positions (user_id, exchange_account_id, opened_at)",
    "CREATE INDEX ledger_entries_transaction_id_idx ON ledger_entries (transaction_id)",
    "CREATE INDEX ledger_entries_user_id_idx ON ledger_entries (user_id, exchange_account_id, at_ns)",
    "CREATE INDEX equity_snapshots_user_id_idx ON equity_snapshots (user_id, at)",
    "CREATE INDEX signals_user_id_idx ON signals (user_id, at_ns)",
    "CREATE UNIQUE INDEX risk_decisions_one_pass_idx ON risk_decisions (intent_id) WHERE verdict = 'pass'",
    "CREATE INDEX risk_decisions_user_id_idx ON risk_decisions (user_id, decided_at_ns)",
    "CREATE INDEX risk_events_user_id_idx ON risk_events (user_id, created_at)",
    "CREATE INDEX budgets_user_id_idx ON budgets (user_id)",
    "CREATE INDEX reservations_user_id_idx ON reservations (user_id)",
    "CREATE INDEX venue_evidence_user_id_idx ON venue_evidence (user_id, order_id)",
    "CREATE UNIQUE INDEX halt_latches_set_idx ON halt_latches (scope, scope_id, kind) WHERE lifted_at IS NULL",
    "CREATE INDEX halt_latches_user_id_idx ON halt_latches (user_id)",
)

# A version 4 UUID with the time in front and the version set to 7 (RFC 9562); PostgreSQL 16 has none of its own.
UUID_V7 = """
    CREATE FUNCTION uuid_v7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
        SELECT encode(set_bit(set_bit(overlay(
            uuid_send(gen_random_uuid())
            PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6
        ), 52, 1), 53, 1), 'hex')::uuid
    $$
"""

FUNCTIONS = (
    """
    CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.updated_at := now();
        RETURN NEW;
    END $$
    """,
    # Rows are added and never changed.  A superuser's hands stay free, as they would be without the trigger; the hash
    # chain tells what they did.
    """
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
            RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN NULL;
    END $$
    """,
    # Runs at commit and as the owner, so that row-level security cannot hide half of a transaction from it.
    """
    CREATE FUNCTION ledger_transaction_balances() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DECLARE
        wrong record;
    BEGIN
        SELECT currency, sum(amount) AS total INTO wrong FROM ledger_entries
        WHERE transaction_id = NEW.transaction_id GROUP BY currency HAVING sum(amount) <> 0 LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'ledger transaction % does not sum to zero: % % too much',
                NEW.transaction_id, wrong.total, wrong.currency
                USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entries_balance_check';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE CONSTRAINT TRIGGER ledger_entries_balance AFTER INSERT OR UPDATE ON ledger_entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_transaction_balances()
    """,
)

# The role the application takes (SET ROLE) on every connection: no ownership, no way around row-level security.
# Roles belong to the whole server, so another database of it may have made this one already.
APPLICATION_ROLE = (
    """
    DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'promethean_app') THEN
            CREATE ROLE promethean_app LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION;
        END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;  -- another migration was faster
    END $$
    """,
    """
    DO $$ BEGIN
        IF NOT pg_has_role(current_user, 'promethean_app', 'SET') THEN
            GRANT promethean_app TO CURRENT_USER;
        END IF;
    END $$
    """,
    "GRANT USAGE ON SCHEMA public TO promethean_app",
)

APPEND_ONLY = ("events", "fills", "ledger_entries", "risk_decisions", "venue_evidence")
TOUCHED = (
    "limit_profiles", "users", "exchange_accounts", "strategies", "orders", "positions", "equity_snapshots", "signals",
    "circuit_breaker_states", "risk_events", "event_offsets", "account_leases", "budgets", "reservations",
    "halt_latches", "risk_limits",
)  # fmt: skip

# Who sees a row.  The sub-selects are evaluated once for a statement, not once for a row.
SERVICE = "(SELECT current_setting('promethean.scope', true) = 'service')"
USER = "(SELECT nullif(current_setting('promethean.user_id', true), '')::uuid)"
PER_USER = (
    "exchange_accounts", "strategies", "orders", "fills", "positions", "ledger_entries", "equity_snapshots", "signals",
    "risk_decisions", "circuit_breaker_states", "risk_events", "budgets", "reservations", "venue_evidence",
    "halt_latches", "risk_limits",
)  # fmt: skip
FOR_EVERYBODY = ("signals", "halt_latches")  # a row without a user is everybody's to read
PLATFORM = ("event_offsets", "account_leases")  # for the platform's own work alone

TIERS = ("free", "basic", "premium", "enterprise")
LIMITS: dict[str, tuple[int | bool, int | bool, int | bool, int | bool]] = {  # -1: unlimited by the tier
    "live_trading": (False, True, True, True),
    "exchange_accounts": (1, 2, 10, -1),
    "open_positions": (2, 5, 20, 50),
    "pairs": (5, 20, -1, -1),
    "trades_per_day": (5, 20, -1, -1),
    "trades_per_month": (50, 300, -1, -1),
    "leverage_max": (1, 3, 10, 10),
    "position_usd_max": (100, 1_000, 50_000, -1),
    "exposure_usd_max": (200, 5_000, 250_000, -1),
    "investment_usd_min": (10, 50, 100, 100),
    "position_usd_min": (5, 10, 20, 20),
    "ai_requests_per_month": (100, 1_000, 10_000, -1),
    "agents": (2, 5, 20, -1),
    "prompt_tokens_per_call": (4_000, 8_000, 32_000, 64_000),
    "memory_mb": (50, 200, 1_000, 5_000),
    "memories_per_agent": (20, 100, 1_000, 10_000),
    "backtest_months": (1, 6, 60, -1),
    "data_years": (1, 2, 10, 10),
    "history_days_agent": (7, 30, 365, 730),
    "history_days_reasoning": (3, 14, 90, 365),
    "history_days_data": (30, 90, 365, 730),
    "history_days_analysis": (7, 30, 180, 365),
    "history_days_session": (7, 30, 180, 365),
    "api_requests_per_minute": (0, 60, 600, 1_200),
    "alerts": (5, 50, 500, -1),
    "webhooks": (0, 5, 50, -1),
    "advanced_orders": (False, True, True, True),
    "advanced_models": (False, True, True, True),
    "chart_analyst": (False, True, True, True),
    "custom_agents": (False, False, True, True),
    "custom_indicators": (False, False, True, True),
    "priority_queue": (False, False, True, True),
    "backtesting_on": (True, True, True, True),
    "paper_trading_on": (True, True, True, True),
    "webhooks_on": (False, True, True, True),
    "api_on": (False, True, True, True),
    "realtime_data_on": (True, True, True, True),
    "custom_reports_on": (False, False, True, True),
    "portfolio_analytics_on": (True, True, True, True),
    "risk_tools_on": (True, True, True, True),
    "priority_support_on": (False, False, True, True),
}


def upgrade() -> None:
    """Make everything, in the transaction of the caller."""
    _run("CREATE EXTENSION IF NOT EXISTS vector", UUID_V7)
    _run(*(f"CREATE TYPE {name} AS ENUM ({', '.join(map(repr, words))})" for name, words in ENUMS.items()))
    _run(*TABLES, *INDEXES, *FUNCTIONS)
    for table in TOUCHED:
        _run(
            f"CREATE TRIGGER touch_updated_at BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION touch_updated_at()"
        )
    for table in APPEND_ONLY:
        _run(
            f"CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    _run(*APPLICATION_ROLE)
    _protect_rows()
    _grant()
    _add_limit_profiles()


def _protect_rows() -> None:
    for table in (*PER_USER, *PLATFORM, "users"):
        _run(
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"CREATE POLICY service ON {table} TO promethean_app USING ({SERVICE}) WITH CHECK ({SERVICE})",
        )
    for table in PER_USER:
        _run(f"CREATE POLICY own ON {table} TO promethean_app USING (user_id = {USER}) WITH CHECK (user_id = {USER})")
    for table in FOR_EVERYBODY:
        _run(f"CREATE POLICY everybody ON {table} FOR SELECT TO promethean_app USING (user_id IS NULL)")
    # A person reads the own record; role and tier in it are not the person's to write.
    _run(f"CREATE POLICY own ON users FOR SELECT TO promethean_app USING (id = {USER})")


def _grant() -> None:
    _run(*(f"GRANT SELECT, INSERT ON {table} TO promethean_app" for table in APPEND_ONLY))
    changing = ", ".join(table for table in TOUCHED if table != "limit_profiles")
    _run(
        f"GRANT SELECT, INSERT, UPDATE ON {changing} TO promethean_app",
        "GRANT DELETE ON equity_snapshots TO promethean_app",  # the only retention: one per minute is kept 90 days
        "GRANT SELECT ON limit_profiles TO promethean_app",
    )


def _add_limit_profiles() -> None:
    keys = ", ".join(map(repr, LIMITS))
    _run(f"ALTER TABLE limit_profiles ADD CONSTRAINT limit_profiles_keys_check CHECK (limits ?& ARRAY[{keys}])")
    profiles = sa.table(
        "limit_profiles",
        sa.column("name", ENUM(*TIERS, name="tier_name", create_type=False)),
        sa.column("limits", JSONB),
    )
    rows = [{"name": tier, "limits": {key: row[at] for key, row in LIMITS.items()}} for at, tier in enumerate(TIERS)]
    op.bulk_insert(profiles, rows)


def _run(*statements: str) -> None:
    connection = op.get_bind()
    for statement in statements:
        connection.exec_driver_sql(statement)  # as it stands: `text()` would take every colon for a parameter
