"""The settings and the specification name the same keys and the same defaults."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from promethean.config.leaves import paths
from promethean.config.pages import describe
from promethean.config.tree import Settings

ROOT = Path(__file__).parents[2]
SPEC = ROOT.parent / "shared" / "spec" / "SPEC.md"
# Keys whose reader does not exist yet.  A part that comes takes its keys out of here; nothing is ever added.
KEYS_OF_PARTS_TO_COME = frozenset(
    """
    agents.<agent>.provider/model/limits agents.committee_share_max agents.guardian_concurrency agents.max_tokens
    agents.max_tool_calls agents.min_risk_reward agents.prompts_dir agents.publish_min_agree
    agents.publish_min_confidence agents.scanner_concurrency agents.timeout_s agents.weights
    ai.<provider>.base_url ai.DEFAULT_AI_MODEL ai.DEFAULT_AI_PROVIDER ai.USE_LOCAL_SENTIMENT ai.burst ai.cache_hours
    ai.cost_mode ai.cost_per_execution_usd ai.daily_cost_per_user_usd ai.default_model ai.default_provider
    ai.max_tokens ai.platform_cost_per_hour_usd ai.requests_per_minute ai.temperature ai.timeout_s
    ai_keys.CLAUDE_API_KEY ai_keys.DEEPSEEK_API_KEY ai_keys.GEMINI_API_KEY ai_keys.OPENAI_API_KEY
    ai_keys.OPENAI_COMPATIBLE_API_KEY ai_keys.OPENAI_COMPATIBLE_BASE_URL ai_keys.OPENAI_COMPATIBLE_MODEL
    api.metrics_enabled api.port api.push_interval_s api.pushgateway_url
    app.timezone
    backfill.concurrency backfill.gap_attempts backfill.gap_retry_h backfill.max_pages backfill.page backfill.since
    backfill.unfillable_recheck_d
    backup.hour backup.keep_daily backup.keep_monthly backup.s3_url backup.target_dir backup.verify_restore
    bus.BUS_URL bus.client_id bus.group bus.linger_ms bus.retries bus.security_protocol
    cache.CACHE_URL
    chart.bars chart.confidence_min chart.interval_s chart.max_tokens chart.provider chart.retries chart.temperature
    chart.timeframe chart.timeout_s
    crash_guard.check_s crash_guard.confirm_s crash_guard.enabled crash_guard.half_size_minutes
    crash_guard.min_sources crash_guard.positions crash_guard.quiet_minutes crash_guard.recovery_s
    errors.SENTRY_DSN errors.error_tracking errors.sentry_environment
    exchange.<exchange>.testnet exchange.USE_TESTNET
    exchange.dead_man_refresh_s exchange.dead_man_s exchange.max_clock_skew_ms exchange.max_concurrent_per_account
    exchange.order_queue exchange.recv_window_ms exchange.stale_read_s exchange.unknown_quarantine_s
    exchange.unknown_reads
    execution.market_as_limit_band_pct execution.post_only execution.price_collar_pct execution.time_in_force
    market.base_assets market.exchanges market.orderbook_depth market.ping_s market.quote market.timeframes
    market_keys.<exchange>_MARKET_DATA_API_KEY market_keys._API_SECRET market_keys._PASSPHRASE
    market_keys.market.<exchange>.testnet
    mcp.allowed_origins mcp.enabled mcp.host mcp.port mcp.trade_tools mcp.transport
    memory.author_share_max memory.embedding_model memory.embedding_provider memory.half_life_d memory.max_per_user
    memory.merge_similarity memory.min_similarity memory.promote_score memory.promote_trades
    ml.auto_deploy ml.deploy_accuracy_gain ml.deploy_profit_factor ml.drift_psi ml.embargo_bars ml.horizon_bars
    ml.keep_versions ml.min_confidence ml.min_new_hours ml.retrain_at ml.target_pct ml.validation_share ml.window_d
    risk.account_active risk.approval risk.clock_skew risk.cluster_exposure risk.confidence_floor risk.cooldown
    risk.cost_limit risk.crash_guard risk.cross_source risk.day_start risk.default_stop_pct risk.default_take_profit_pct
    risk.depeg risk.drawdown_max risk.drift_collar risk.duplicate risk.event_window risk.fee_budget
    risk.instrument_allowed risk.jurisdiction risk.kelly_fraction risk.kill.close_on_auto
    risk.liquidity_share risk.live_gate risk.mandate risk.margin_headroom
    risk.market_order_bound risk.market_quality risk.message_rate risk.on_trip risk.order_quantity risk.order_rate
    risk.pair_budget risk.platform_exposure risk.platform_loss risk.portfolio_risk risk.precision risk.price_collar
    risk.reconciliation risk.reject_streak risk.repeat_throttle risk.risk_per_trade_pct risk.risk_reward
    risk.slippage_estimate risk.stop_distance risk.symbol_exposure risk.time_in_force risk.trade_risk risk.unit_check
    risk.unknown_orders risk.venue_exposure risk.volatility_gate risk.weekly_loss
    rl.alpha rl.confidence_min rl.enabled rl.episodes rl.epsilon rl.gamma rl.max_steps rl.min_signals
    rl.recommended_signals rl.seed
    sources.CME_FEDWATCH_API_KEY sources.COINGECKO_API_KEY sources.COINGLASS_API_KEY sources.DERIBIT_CLIENT_ID
    sources.FRED_API_KEY sources.GLASSNODE_API_KEY sources.GREEKS_LIVE_API_KEY sources.HYBLOCK_API_KEY
    sources.INVESTING_COM_FEED_URL sources.LAEVITAS_API_KEY sources.LUNARCRUSH_API_KEY sources.NEWSAPI_API_KEY
    sources.REDDIT_CLIENT_ID sources.REDDIT_CLIENT_SECRET sources.SANTIMENT_API_KEY sources.TWITTER_BEARER_TOKEN
    sources._SECRET sources.correlation.assets sources.derivatives.min_premium_usd sources.http.timeout_s
    sources.http.user_agent sources.news.max_age_h sources.onchain.min_whale_usd sources.social.accounts
    sources.social.subreddits
    spike.daily_cost_usd spike.mode spike.pairs
    strategies.disable_min_trades strategies.disable_profit_factor strategies.disable_win_rate
    strategies.evaluation_window_d strategies.hot_reload strategies.reenable_min_trades
    strategies.reenable_profit_factor
    telegram.TELEGRAM_BOT_TOKEN telegram.admin_ids telegram.api_url telegram.commands_per_minute telegram.delivery
    telegram.menu_ttl_s telegram.registration telegram.webhook_secret telegram.webhook_url
    vault.rotate_days
    web.allowed_origins web.cookie_secure web.host web.pin_failures web.pin_window_s web.port web.public_url
    web.refresh_s web.requests_per_minute web.secret_key web.session_absolute_s web.session_idle_s
    workers.<worker>.enabled workers.<worker>.interval workers.shutdown_s
    """.split()  # noqa: SIM905 - a list of strings would be four times as long
)
# Keys that stand in another section of the specification than its table of settings.
KEYS_OF_OTHER_SECTIONS = {"execution.participation_max": "9.7: participation of the simulated venue"}
# Keys that the table prints in capitals, without a name in small letters.
CAPITALS = {
    "postgres.DATABASE_URL": "postgres.url",
    "clickhouse.MARKET_STORE_URL": "clickhouse.url",
    "vault.ENCRYPTION_KEY": "vault.key",
}


def section(title: str) -> str:
    return SPEC.read_text().split(f"\n{title}")[1].split("\n#")[0]


def table(text: str) -> list[list[str]]:
    rows = [line.replace("\\|", "/").strip("| ") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.split(" | ")] for row in rows[2:]]


def keys_of_the_table() -> set[str]:
    keys: set[str] = set()
    for group, cell in table(section("## 4. Configuration")):
        while (bare := re.sub(r"\([^()]*\)", "", cell)) != cell:
            cell = bare
        cell = re.sub(r"\{[^}]*\}", "<exchange>", cell)
        for item in re.split(r"[,;]|\bor\b| / ", cell):
            match = re.match(r"[A-Za-z0-9_<>./]+", item.replace("`", "").strip())
            if match and not item.strip().startswith(("every limit", "thresholds", "used for")):
                keys.add(f"{group.split(':')[0].replace(' ', '_')}.{match[0]}")
    keys |= {f"risk.{code}" for code in codes_with_a_limit()}
    return keys


def codes_with_a_limit() -> set[str]:
    return {
        row[1].strip("`")
        for row in table(section("### 8.2 Pre-trade"))
        if row[0].split()[0].isdigit() and row[3] != "-"
    }


def name_in_the_table(path: str, table_keys: set[str]) -> str:
    """Map a path of the settings to the specification's way of writing it."""
    path = {ours: theirs for theirs, ours in CAPITALS.items()}.get(path, path)
    path = re.sub(r"^exchange\.(binance|bybit|okx|mexc|kucoin)\.", "exchange.<exchange>.", path)
    path = path.replace("commission_default_pct.", "commission_default_pct,").split(",")[0]
    if path.startswith("risk.") and path not in table_keys:
        # risk.<code>: the name of the control, then what is bounded and its unit.
        controls = [key for key in table_keys if path.startswith(f"{key}_")]
        return max(controls, key=len, default=path)
    return path


def test_the_list_of_keys_to_come_holds_no_key_that_exists() -> None:
    assert not KEYS_OF_PARTS_TO_COME & set(paths())


@pytest.mark.skipif(not SPEC.exists(), reason="the specification lies beside the checkout only where it is developed")
def test_the_settings_and_the_specification_name_the_same_keys() -> None:
    specified = keys_of_the_table()
    ours = {name_in_the_table(path, specified) for path in paths() if path not in KEYS_OF_OTHER_SECTIONS}
    assert ours - specified == set(), "settings that the specification does not know"
    assert specified - ours - KEYS_OF_PARTS_TO_COME == set(), "specified keys that nothing reads"
    assert KEYS_OF_PARTS_TO_COME - specified == set(), "keys to come that the specification does not know"
    assert set() == KEYS_OF_PARTS_TO_COME & ours, "keys to come that have come"


@pytest.mark.skipif(not SPEC.exists(), reason="the specification lies beside the checkout only where it is developed")
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("postgres.pool_max", "25"),
        ("clickhouse.spool_mib", "1024"),
        ("market.queue_size", "4096"),
        ("strategies.signal_threshold", "0.6"),
        ("execution.slippage_max_pct", "0.1"),
        ("execution.paper_latency_ms", "150"),
        ("market.reconnect_max_s", "60"),
    ],
)
def test_a_default_is_the_one_of_the_specification(path: str, value: str) -> None:
    [row] = [row for row in describe(Settings()) if row.path == path]
    assert row.value == value
    assert f"{path.split('.')[1]} ({value})" in section("## 4. Configuration")
