"""The settings tree: what wins, what is refused and in which words, and that secrets stay unseen."""

from __future__ import annotations

import ast
import base64
import pickle
import re
import traceback
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from promethean.config import (
    PREFIX,
    UNITS,
    Postgres,
    QuantityError,
    Risk,
    Settings,
    Unit,
    describe,
    env_name,
    fraction,
    load_settings,
    parse_quantity,
    path_of_env,
    paths,
    reference_page,
)
from promethean.domain.errors import ConfigError

ROOT = Path(__file__).parents[1]
SPEC = ROOT.parent / "shared" / "spec" / "SPEC.md"
KEY = base64.b64encode(bytes(range(32))).decode()
OTHER_KEY = base64.b64encode(bytes(range(32, 64))).decode()
ADDRESS = "postgresql://trader:hunter2@db.example:5432/promethean"


def load(
    tmp_path: Path,
    yaml: str | None = None,
    dotenv: str | None = None,
    environ: Mapping[str, str] | None = None,
    cli: Mapping[str, str] | None = None,
) -> Settings:
    """Load settings from the layers given, in a directory of their own."""
    if yaml is not None:
        (tmp_path / "promethean.yaml").write_text(yaml)
    if dotenv is not None:
        (tmp_path / ".env").write_text(dotenv)
    return load_settings(cli or {}, {"HOME": str(tmp_path / "user"), **(environ or {})}, tmp_path)


def refusal(
    tmp_path: Path,
    yaml: str | None = None,
    dotenv: str | None = None,
    environ: Mapping[str, str] | None = None,
    cli: Mapping[str, str] | None = None,
) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, yaml, dotenv, environ, cli)
    return str(caught.value)


# --- Precedence ------------------------------------------------------------------------------------------------------


def test_each_layer_wins_over_the_ones_below_it(tmp_path: Path) -> None:
    path = "risk.daily_trades"

    settings = load(tmp_path)
    assert (settings.risk.daily_trades, settings.origins[path]) == (20, "default")
    settings = load(tmp_path, yaml="app:\n  seed: 1\nrisk:\n  daily_trades: 11\n")
    assert (settings.risk.daily_trades, settings.origins[path]) == (11, "promethean.yaml:4")
    settings = load(tmp_path, dotenv="PROMETHEAN_RISK_DAILY_TRADES=12\n")
    assert (settings.risk.daily_trades, settings.origins[path]) == (12, ".env")
    environ = {"PROMETHEAN_RISK_DAILY_TRADES": "13"}
    settings = load(tmp_path, environ=environ)
    assert (settings.risk.daily_trades, settings.origins[path]) == (13, "environment PROMETHEAN_RISK_DAILY_TRADES")
    settings = load(tmp_path, environ=environ, cli={path: "14"})
    assert (settings.risk.daily_trades, settings.origins[path]) == (14, "command line")
    assert (settings.app.seed, settings.origins["app.seed"]) == (1, "promethean.yaml:2")


@pytest.mark.parametrize("name", ["TRADING_MODE", "PROMETHEAN_TRADING_MODE", "PROMETHEAN_APP_MODE"])
def test_a_name_in_capitals_is_read_with_and_without_the_prefix(tmp_path: Path, name: str) -> None:
    settings = load(tmp_path, environ={name: "live"})
    assert settings.app.mode == "live"
    assert settings.origins["app.mode"] == f"environment {name}"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("DATABASE_URL", "postgres.url"),
        ("MARKET_STORE_URL", "clickhouse.url"),
        ("TRADING_MODE", "app.mode"),
        ("FEED", "app.feed"),
        ("ENCRYPTION_KEY", "vault.key"),
        ("PROMETHEAN_HOME", "app.home"),
    ],
)
def test_the_capital_names_set_their_keys(name: str, path: str) -> None:
    assert path_of_env(name) == path


def test_two_names_with_different_values_for_one_key_are_refused_without_showing_them(tmp_path: Path) -> None:
    message = refusal(tmp_path, environ={"DATABASE_URL": ADDRESS, "PROMETHEAN_POSTGRES_URL": ADDRESS + "2"})
    assert message == (
        "DATABASE_URL and PROMETHEAN_POSTGRES_URL both set postgres.url, to different values; keep one of them"
    )
    same = load(tmp_path, environ={"DATABASE_URL": ADDRESS, "PROMETHEAN_POSTGRES_URL": ADDRESS})
    assert same.postgres.url is not None


def test_other_peoples_environment_variables_are_ignored(tmp_path: Path) -> None:
    assert load(tmp_path, environ={"PATH": "/bin", "MODE": "live"}, dotenv="COMPOSE_FILE=x\n").app.mode == "paper"


def test_the_settings_file_of_the_home_is_read_when_the_working_directory_has_none(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "promethean.yaml").write_text("app: {seed: 5}\n")
    settings = load(tmp_path, environ={"PROMETHEAN_HOME": "home"})
    assert (settings.app.seed, settings.origins["app.seed"]) == (5, f"{home}/promethean.yaml:1")
    assert load(tmp_path, yaml="app: {log_level: DEBUG}\n", environ={"PROMETHEAN_HOME": "home"}).app.seed == 0


def test_the_settings_file_of_the_home_cannot_move_the_home(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "promethean.yaml").write_text("app:\n  home: elsewhere\n")
    message = refusal(tmp_path, environ={"PROMETHEAN_HOME": "home"})
    assert "promethean.yaml:2: app.home is set in a file that lies in the home; set PROMETHEAN_HOME instead" in message


def test_a_settings_file_that_is_named_wins_and_must_exist(tmp_path: Path) -> None:
    (tmp_path / "promethean.yaml").write_text("app: {seed: 1}\n")
    (tmp_path / "mine.yaml").write_text("app: {seed: 2}\n")
    assert load_settings({}, {}, tmp_path, Path("mine.yaml")).app.seed == 2
    with pytest.raises(ConfigError, match=r"^none\.yaml cannot be read: No such file or directory; check the path"):
        load_settings({}, {}, tmp_path, Path("none.yaml"))


def test_loading_creates_nothing_and_expands_the_users_home(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    settings = load(empty)
    assert settings.app.home == empty / "user" / ".promethean"
    assert settings.strategies.dir == empty / "config" / "strategies"
    assert list(empty.iterdir()) == []


# --- Derived defaults ------------------------------------------------------------------------------------------------


def test_production_requires_an_encrypted_database_connection_by_default(tmp_path: Path) -> None:
    assert load(tmp_path).postgres.ssl_mode == "prefer"
    assert load(tmp_path, yaml="app: {env: production}\n").postgres.ssl_mode == "require"
    given = load(tmp_path, environ={"PROMETHEAN_POSTGRES_SSL_MODE": "verify-full"})
    assert given.postgres.ssl_mode == "verify-full"


def test_the_instance_is_named_after_the_host(tmp_path: Path) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", load(tmp_path).app.instance_id)


# --- Limits, units and types -----------------------------------------------------------------------------------------


def test_a_limit_below_its_minimum_is_refused_with_the_remedy(tmp_path: Path) -> None:
    assert refusal(tmp_path, yaml="risk:\n  daily_trades: 0\n") == (
        "risk.daily_trades is 0, below the minimum of 1; set it to 1 or more (from promethean.yaml:2)"
    )


def test_a_limit_above_its_maximum_is_refused_with_the_remedy(tmp_path: Path) -> None:
    assert refusal(tmp_path, cli={"risk.daily_trades": "1001"}) == (
        "risk.daily_trades is 1001, above the maximum of 1000; set it to 1000 or less (from command line)"
    )


@pytest.mark.parametrize("path", [path for path in paths() if path.startswith("risk.")])
def test_every_limit_has_a_minimum_and_a_maximum(tmp_path: Path, path: str) -> None:
    assert re.match(
        rf"{path} is -1, below the minimum of ([\d.]+); set it to \1 or more", refusal(tmp_path, cli={path: "-1"})
    )
    huge = "9" * 30
    assert re.match(
        rf"{path} is {huge}, above the maximum of ([\d.]+); set it to \1 or less", refusal(tmp_path, cli={path: huge})
    )


def test_a_limit_at_its_bounds_is_allowed(tmp_path: Path) -> None:
    assert load(tmp_path, cli={"risk.daily_trades": "1"}).risk.daily_trades == 1
    assert load(tmp_path, cli={"risk.daily_trades": "1000"}).risk.daily_trades == 1000
    assert load(tmp_path, cli={"market.reconnect_base_s": "0.05"}).market.reconnect_base_s == 0.05


@pytest.mark.parametrize("empty", ["risk:\n  daily_trades:\n", "risk:\n  daily_trades: ''\n"])
def test_a_limit_without_a_value_is_refused(tmp_path: Path, empty: str) -> None:
    assert refusal(tmp_path, yaml=empty) == (
        "risk.daily_trades has no value; set one, or remove the name to get the default, 20 (from promethean.yaml:2)"
    )


def test_an_empty_variable_is_no_address(tmp_path: Path) -> None:
    assert load(tmp_path, environ={"DATABASE_URL": ""}).postgres.url is None


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (
            {"risk.order_notional_min": "100"},
            {"risk.order_notional_max": "5"},
            "risk.order_notional_max is 5, below risk.order_notional_min, which is 100; "
            "raise the first or lower the second",
        ),
        (
            {"postgres.pool_min": "30"},
            {},
            "postgres.pool_max is 25, below postgres.pool_min, which is 30; raise the first or lower the second",
        ),
        (
            {"market.reconnect_base_s": "2"},
            {"market.reconnect_max_s": "1.5"},
            "market.reconnect_max_s is 1.5, below market.reconnect_base_s, which is 2; "
            "raise the first or lower the second",
        ),
    ],
)
def test_a_pair_that_cannot_be_is_refused(
    tmp_path: Path, low: dict[str, str], high: dict[str, str], message: str
) -> None:
    assert refusal(tmp_path, cli={**low, **high}) == message


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("risk.price_fresh_paper_s", "2s", Decimal(2)),
        ("risk.price_fresh_paper_s", "150ms", Decimal("0.15")),
        ("risk.price_fresh_paper_s", "1m", Decimal(60)),
        ("market.reconnect_max_s", "1h", 3600.0),
        ("execution.paper_latency_ms", "2s", 2000),
        ("risk.total_exposure_pct", "5%", Decimal(5)),
        ("risk.total_exposure_pct", "250 bps", Decimal("2.5")),
        ("execution.paper_slippage_bps", "0.05%", Decimal(5)),
        ("execution.commission_default_pct.spot_taker", "0.075%", Decimal("0.075")),
        ("clickhouse.spool_mib", "2GiB", 2048),
        ("clickhouse.batch_seconds", "500ms", 0.5),
    ],
)
def test_a_value_with_a_unit_is_converted_when_that_is_exact(
    tmp_path: Path, path: str, text: str, value: object
) -> None:
    read = load(tmp_path, cli={path: text}).value(path)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        (
            "risk.price_fresh_paper_s",
            "5%",
            "risk.price_fresh_paper_s is '5%', a percentage; this key takes seconds, for example 15 or '15s'",
        ),
        (
            "risk.total_exposure_pct",
            "2s",
            "risk.total_exposure_pct is '2s', a duration; this key takes percent, for example 50 or '50%'",
        ),
        (
            "execution.paper_slippage_bps",
            "1MiB",
            "execution.paper_slippage_bps is '1MiB', a size; this key takes basis points, for example 2 or '2bps'",
        ),
        (
            "risk.daily_trades",
            "20%",
            "risk.daily_trades is '20%', a percentage; this key takes a plain number, for example 20",
        ),
        (
            "clickhouse.spool_mib",
            "100KiB",
            "clickhouse.spool_mib is '100KiB', not a whole number of mebibytes; "
            "this key takes mebibytes, for example 1024 or '1024MiB'",
        ),
        (
            "risk.price_fresh_paper_s",
            "5 parsecs",
            "risk.price_fresh_paper_s is '5 parsecs', with the unknown unit 'parsecs'; "
            "this key takes seconds, for example 15 or '15s'",
        ),
        (
            "risk.daily_trades",
            "2.5",
            "risk.daily_trades is 2.5, not a whole number; this key takes a plain number, for example 20",
        ),
        (
            "risk.daily_trades",
            "1_0",
            "risk.daily_trades is '1_0', not a number; this key takes a plain number, for example 20",
        ),
        (
            "risk.total_exposure",
            "NaN",
            "risk.total_exposure is 'NaN', not a number; this key takes a plain number, for example 5000",
        ),
        ("app.mode", "papper", "app.mode is 'papper', not one of backtest, paper, live; the closest is 'paper'"),
        (
            "market.websocket_enabled",
            "yes",
            "market.websocket_enabled is 'yes', neither true nor false; write one of them",
        ),
        (
            "clickhouse.database",
            "1st",
            "clickhouse.database is '1st', "
            "not a name of up to 63 letters, digits and underscores that begins with no digit",
        ),
        (
            "app.home",
            "~bob/x",
            "app.home is '~bob/x', not a path; `~` stands for your own home only, as in ~/folder",
        ),
        (
            "exchange.binance.base_url",
            "ftp://x",
            "exchange.binance.base_url is 'ftp://x', not an address such as https://host/path, without a user name",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_what_the_key_takes(
    tmp_path: Path, path: str, text: str, message: str
) -> None:
    assert refusal(tmp_path, cli={path: text}) == f"{message} (from command line)"


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("market: {websocket_enabled: no}", "market.websocket_enabled is 'no', neither true nor false"),
        ("market: {websocket_enabled: 1}", "market.websocket_enabled is 1, neither true nor false"),
        ("risk: {daily_trades: true}", "risk.daily_trades is true, not a number"),
        ("risk: {daily_trades: [1]}", "risk.daily_trades is a list, not a number"),
        ("risk: {daily_trades: 12:30}", "risk.daily_trades is '12:30', not a number"),
        ("risk: {daily_trades: 010}", "promethean.yaml:1: risk.daily_trades: is 010, a number with a leading zero"),
        ("risk: {total_exposure: 1e3}", "promethean.yaml:1: risk.total_exposure: is 1e3, a number with an exponent"),
        ("app: {instance_id: 12}", "app.instance_id is 12, not text; write it in quotes"),
        ("app: {feed: {x: 1}}", "app.feed is a mapping, not text"),
        ("vault: {previous_keys: 5}", "vault.previous_keys is not a list; write items with commas between them"),
        ("risk: 5", "promethean.yaml:1: risk is a group of keys, not one value; write its keys below it, indented"),
        ("risk.daily_trades: 5", "promethean.yaml:1: key 'risk.daily_trades' has a dot; write it nested"),
    ],
)
def test_a_yaml_value_of_another_type_is_refused(tmp_path: Path, yaml: str, message: str) -> None:
    assert message in refusal(tmp_path, yaml=yaml)


def test_decimals_keep_the_digits_of_the_file(tmp_path: Path) -> None:
    settings = load(tmp_path, yaml="risk: {total_exposure: 1234.10, total_exposure_pct: 0.7}\n")
    assert str(settings.risk.total_exposure) == "1234.10"
    assert fraction(settings.risk.total_exposure_pct) == Decimal("0.007")


def test_a_whole_number_in_yaml_stays_whole(tmp_path: Path) -> None:
    assert str(load(tmp_path, yaml="risk: {total_exposure: 7000}\n").risk.total_exposure) == "7000"


def test_lists_are_read_from_text_and_from_yaml(tmp_path: Path) -> None:
    written = load(tmp_path, yaml=f"vault: {{previous_keys: ['{OTHER_KEY}', '{KEY}']}}\n").vault
    assert [key.reveal() for key in written.previous_keys] == [OTHER_KEY, KEY]
    told = load(tmp_path, environ={"PROMETHEAN_VAULT_PREVIOUS_KEYS": f"{KEY}, {OTHER_KEY}"}).vault
    assert [key.reveal() for key in told.previous_keys] == [KEY, OTHER_KEY]
    assert load(tmp_path, yaml="vault: {previous_keys: []}\n").vault.previous_keys == ()


def test_an_item_given_twice_in_a_list_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, environ={"PROMETHEAN_VAULT_PREVIOUS_KEYS": f"{KEY},{KEY}"}) == (
        "vault.previous_keys is given twice in the list; keep one (from environment PROMETHEAN_VAULT_PREVIOUS_KEYS)"
    )


# --- Unknown and duplicate names -------------------------------------------------------------------------------------


def test_an_unknown_key_is_refused_with_path_value_and_the_closest_key(tmp_path: Path) -> None:
    assert refusal(tmp_path, yaml="risk:\n  dayly_trades: 5\n") == (
        "promethean.yaml:2: unknown key 'risk.dayly_trades' with value 5; did you mean 'risk.daily_trades'?"
    )
    assert refusal(tmp_path, yaml="app:\n  mode: paper\n  seeed: 1\n").startswith(
        "promethean.yaml:3: unknown key 'app.seeed' with value 1; did you mean 'app.seed'?"
    )


def test_an_unknown_key_on_the_command_line_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, cli={"app.mod": "x"}) == (
        "command line: unknown key 'app.mod' with value 'x'; did you mean 'app.mode'?"
    )


def test_an_environment_name_used_as_a_key_leads_to_the_key(tmp_path: Path) -> None:
    message = refusal(tmp_path, yaml=f"postgres: {{DATABASE_URL: '{ADDRESS}'}}\n")
    assert message == (
        "promethean.yaml:1: unknown key 'postgres.DATABASE_URL' with value ***; did you mean 'postgres.url'?"
    )


def test_an_unknown_variable_with_the_prefix_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, environ={"PROMETHEAN_RISK_DAILY_TRADE": "5"}) == (
        "unknown environment variable 'PROMETHEAN_RISK_DAILY_TRADE' with value 5; "
        "did you mean 'PROMETHEAN_RISK_DAILY_TRADES'?"
    )
    assert refusal(tmp_path, dotenv="PROMETHEAN_HOM=x\n") == (
        "unknown environment variable in .env 'PROMETHEAN_HOM' with value 'x'; did you mean 'PROMETHEAN_HOME'?"
    )


@pytest.mark.parametrize(
    ("name", "closest"),
    [
        ("PROMETHEAN_USE_TESTNET", "PROMETHEAN_"),
        ("PROMETHEAN_EXCHANGE_USE_TESTNET", "PROMETHEAN_EXCHANGE_"),
        ("PROMETHEAN_MARKET_QUOTE", "PROMETHEAN_MARKET_QUEUE_SIZE"),
        ("PROMETHEAN_RISK_PRICE_FRESH_S", "PROMETHEAN_RISK_PRICE_FRESH_PAPER_S"),
    ],
)
def test_a_variable_that_nothing_reads_yet_is_refused_instead_of_doing_nothing(
    tmp_path: Path, name: str, closest: str
) -> None:
    message = refusal(tmp_path, environ={name: "1"})
    assert message.startswith(f"unknown environment variable '{name}' with value 1; did you mean '{closest}")


def test_a_capital_name_that_nothing_reads_yet_belongs_to_other_programs(tmp_path: Path) -> None:
    settings = load(tmp_path, environ={"USE_TESTNET": "perhaps", "CACHE_URL": "redis://other"})
    assert set(settings.origins.values()) == {"default"}


def test_only_secrets_have_a_file_variant(tmp_path: Path) -> None:
    assert "unknown environment variable" in refusal(tmp_path, environ={"PROMETHEAN_APP_MODE_FILE": "x"})


def test_a_duplicate_yaml_key_is_refused_with_both_lines(tmp_path: Path) -> None:
    assert refusal(tmp_path, yaml="risk:\n  daily_trades: 5\n  daily_trades: 6\n") == (
        "promethean.yaml:3: risk.daily_trades: given twice (first on line 2); keep one"
    )


def test_an_unknown_name_of_any_length_is_refused_shortly(tmp_path: Path) -> None:
    assert len(refusal(tmp_path, yaml=f"{'x' * 900}: 1\n")) < 300


# --- Files -----------------------------------------------------------------------------------------------------------


def test_dotenv_reads_comments_quotes_escapes_and_export(tmp_path: Path) -> None:
    text = (
        "# a comment\r\n\n"
        "export TRADING_MODE=live   # trailing\n"
        "PROMETHEAN_APP_INSTANCE_ID='box-1' # quoted\n"
        'FEED="a \\"b\\" #c"\n'
        "PROMETHEAN_APP_SEED = 7\n"
    )
    app = load(tmp_path, dotenv=text).app
    assert (app.mode, app.instance_id, app.feed, app.seed) == ("live", "box-1", 'a "b" #c', 7)


@pytest.mark.parametrize(
    "line", ["just words hunter2", "ENCRYPTION_KEY='hunter2", 'ENCRYPTION_KEY="hunter2', "1X=hunter2"]
)
def test_a_dotenv_line_that_cannot_be_read_is_refused_without_its_text(tmp_path: Path, line: str) -> None:
    message = refusal(tmp_path, dotenv=f"FEED=live\n{line}\n")
    assert message == ".env:2: not readable; write NAME=value, with quotes closed on the line"


def test_a_duplicate_dotenv_name_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, dotenv="FEED=live\nFEED=synthetic\n") == (
        ".env:2: FEED is given twice (first on line 1); keep one"
    )


def test_a_settings_file_that_is_not_utf8_or_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "promethean.yaml"
    path.write_bytes(b"app:\n  feed: \xff\n")
    assert refusal(tmp_path) == "promethean.yaml:2: not UTF-8 text; save the file as UTF-8"
    path.write_bytes(b"#" * 1_048_577)
    assert refusal(tmp_path) == "promethean.yaml is larger than the maximum of 1048576 bytes; make it smaller"
    path.write_bytes(b"app: \0\n")
    assert refusal(tmp_path) == "promethean.yaml holds a zero byte; it is no text file"


# --- Secrets ---------------------------------------------------------------------------------------------------------


def test_a_secret_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    settings = load(tmp_path, environ={"ENCRYPTION_KEY_FILE": "key"})
    assert settings.vault.key is not None
    assert settings.vault.key.reveal() == KEY
    assert settings.origins["vault.key"] == "environment ENCRYPTION_KEY_FILE"


def test_a_secret_file_that_is_missing_or_empty_is_refused_without_its_path(tmp_path: Path) -> None:
    # Somebody puts the secret where its path belongs.
    message = refusal(tmp_path, environ={"ENCRYPTION_KEY_FILE": "hunter2"})
    assert message == (
        "the file named by ENCRYPTION_KEY_FILE cannot be read: No such file or directory; "
        "check the path and its permissions"
    )
    (tmp_path / "empty").write_text("\n")
    assert "holds nothing; write the secret into it" in refusal(tmp_path, environ={"ENCRYPTION_KEY_FILE": "empty"})


def test_a_secret_is_refused_on_the_command_line(tmp_path: Path) -> None:
    assert refusal(tmp_path, cli={"vault.key": KEY}) == (
        "vault.key is a secret, and other users of the machine can read the command line; "
        "put it into a file and set ENCRYPTION_KEY_FILE to its path"
    )


def test_secrets_are_shown_nowhere(tmp_path: Path) -> None:
    environ = {"ENCRYPTION_KEY": KEY, "DATABASE_URL": ADDRESS, "PROMETHEAN_VAULT_PREVIOUS_KEYS": OTHER_KEY}
    settings = load(tmp_path, environ=environ)
    rows = describe(settings)
    shown = f"{settings!r} {settings!s} {settings.vault!r} {settings.model_dump()} {rows}"
    for secret in (KEY, OTHER_KEY, "hunter2"):
        assert secret not in shown
    values = {row.path: row.value for row in rows}
    assert values["vault.key"] == values["postgres.url"] == values["vault.previous_keys"] == "***"
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(settings)
    with pytest.raises(Exception, match="Unable to serialize"):
        settings.model_dump_json()


@pytest.mark.parametrize(
    "environ",
    [
        {"ENCRYPTION_KEY": "hunter2"},
        {"DATABASE_URL": "mysql://user:hunter2@host/db"},
        {"MARKET_STORE_URL": "hunter2"},
        {"PROMETHEAN_VAULT_PREVIOUS_KEYS": f"{KEY},hunter2"},
        {"PROMETHEAN_VAULT_KYE": "hunter2"},
        {"PROMETHEAN_ENCRYPTION_KEZ": "hunter2"},
        {"PROMETHEAN_EXCHANGE_API_SECRET": "hunter2"},
        {"ENCRYPTION_KEY": "hunter2", "PROMETHEAN_VAULT_KEY": "hunter22"},
    ],
)
def test_no_error_shows_a_secret(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, environ=environ)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_a_wrong_key_says_how_to_make_a_right_one(tmp_path: Path) -> None:
    assert refusal(tmp_path, environ={"ENCRYPTION_KEY": "c2hvcnQ="}) == (
        "vault.key is not 32 bytes in base64; make one with `openssl rand -base64 32` (from environment ENCRYPTION_KEY)"
    )
    assert "vault.key is not text; write it in quotes" in refusal(tmp_path, yaml="vault: {key: 12}\n")


# --- The models ------------------------------------------------------------------------------------------------------


def test_settings_cannot_be_changed() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.risk.daily_trades = 5
    with pytest.raises(TypeError):
        settings.origins["risk.daily_trades"] = "nowhere"  # type: ignore[index]


def test_a_group_cannot_be_built_wrong() -> None:
    with pytest.raises(ValidationError, match="below the minimum of 1"):
        Risk(daily_trades=0)
    with pytest.raises(ValidationError, match="Decimal"):
        Risk.model_validate({"total_exposure": 0.1})
    with pytest.raises(ConfigError, match=r"postgres\.pool_max is 1, below postgres\.pool_min"):
        Settings(postgres=Postgres(pool_max=1))


def test_describe_lists_every_key_once_with_origin_unit_and_help(tmp_path: Path) -> None:
    rows = describe(load(tmp_path, environ={"PROMETHEAN_RISK_PRICE_FRESH_PAPER_S": "2s"}))
    assert [row.path for row in rows] == list(paths())
    assert all(row.help and row.origin and row.value for row in rows)
    [row] = [row for row in rows if row.path == "risk.price_fresh_paper_s"]
    assert (row.value, row.unit, row.origin) == ("2", "seconds", "environment PROMETHEAN_RISK_PRICE_FRESH_PAPER_S")


def test_an_unknown_path_asked_of_settings_names_the_closest() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'app\.mode'"):
        Settings().value("app.moode")


def test_the_reference_page_is_current() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert page == reference_page(), "make it again: python -m promethean.config > docs/configuration.md"


# --- Properties ------------------------------------------------------------------------------------------------------


@given(st.sampled_from(paths()))
def test_every_path_has_an_environment_name_that_leads_back(path: str) -> None:
    name = env_name(path)
    assert name == PREFIX + path.upper().replace(".", "_")
    assert path_of_env(name) == path


@given(st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ_", max_size=30))
def test_a_name_that_leads_nowhere_is_nobodys_environment_name(rest: str) -> None:
    path = path_of_env(PREFIX + rest)
    capitals = {"TRADING_MODE", "HOME", "FEED", "DATABASE_URL", "MARKET_STORE_URL", "ENCRYPTION_KEY"}
    assert (path is None) == (
        PREFIX + rest not in set(map(env_name, paths())) and rest.removesuffix("_FILE") not in capitals
    )


amounts = st.decimals(min_value=0, max_value=10**9, places=6)


@given(amounts, st.sampled_from([unit for unit in UNITS.values() if unit.symbol]))
def test_a_quantity_written_in_the_keys_own_unit_is_read_back(amount: Decimal, unit: Unit) -> None:
    text = format(amount, "f")
    assert parse_quantity(text, unit) == parse_quantity(text + unit.symbol, unit) == amount
    assert str(parse_quantity(text, unit)) == text


@given(amounts, st.sampled_from(list(UNITS.values())), st.sampled_from(list(UNITS.values())))
def test_a_quantity_is_converted_exactly_or_refused(amount: Decimal, written: Unit, wanted: Unit) -> None:
    if not written.symbol:
        return
    text = f"{amount:f}{written.symbol}"
    if written.dimension != wanted.dimension:
        with pytest.raises(QuantityError):
            parse_quantity(text, wanted)
        return
    exact = Fraction(amount) * written.size / wanted.size
    assert Fraction(parse_quantity(text, wanted)) == exact


@given(st.text(max_size=20))
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    for unit in UNITS.values():
        try:
            assert parse_quantity(text, unit).is_finite()
        except QuantityError as error:
            assert str(error)


def test_a_size_that_does_not_convert_within_eighteen_decimals_is_refused() -> None:
    with pytest.raises(QuantityError, match="no exact number of mebibytes"):
        parse_quantity("0.000000000001KiB", UNITS["mebibytes"])
    with pytest.raises(QuantityError, match="more than 18 decimals"):
        parse_quantity("0." + "1" * 19, UNITS["seconds"])


# --- Readers ---------------------------------------------------------------------------------------------------------

READ_BY_THE_SETTINGS_THEMSELVES = {"app.env": "decides the default of postgres.ssl_mode, as a test above shows"}


class Reads(ast.NodeVisitor):
    """Collects the paths that a piece of code reads from the settings, through local names as well.

    `getattr(settings.exchange, name).base_url` reads `exchange.*.base_url`.
    """

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self._local: dict[str, str | None] = {}

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        outer, self._local = self._local, dict(self._local)  # an inner function sees the names around it
        self.generic_visit(node)
        self._local = outer

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - ast's name

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            for name, value in self._pairs(target, node.value):
                self._local[name] = self._path(value)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load) and (path := self._path(node)):
            self.paths.add(path)

    def _pairs(self, target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
        if isinstance(target, ast.Name):
            yield target.id, value
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for part, item in zip(target.elts, value.elts, strict=False):
                yield from self._pairs(part, item)

    def _path(self, node: ast.expr) -> str | None:
        """The path below the settings that an expression stands for; "" for the settings, None for anything else."""
        match node:
            case ast.Name(id=name):
                return self._local.get(name, "" if name == "settings" else None)
            case ast.Attribute(attr="settings" | "_settings"):
                return ""
            case ast.Attribute(value=owner, attr=name):
                above = self._path(owner)
            case ast.Call(func=ast.Name(id="getattr"), args=[owner, *_]):
                above, name = self._path(owner), "*"
            case _:
                return None
        return None if above is None else f"{above}.{name}".lstrip(".")


def reads(code: str) -> set[str]:
    visitor = Reads()
    visitor.visit(ast.parse(code))
    return visitor.paths


def test_every_key_is_read_by_code() -> None:
    package = ROOT / "src" / "promethean"
    read = {path for file in package.rglob("*.py") if file != package / "config.py" for path in reads(file.read_text())}
    unread = {path for path in paths() if not any(fnmatchcase(path, pattern) for pattern in read)}
    assert unread == set(READ_BY_THE_SETTINGS_THEMSELVES), "a key that nothing reads must not be accepted; remove it"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("settings.app.seed", {"app", "app.seed"}),
        ("self._settings.app.home / 'x'", {"app", "app.home"}),
        (
            "def f(settings):\n    a, risk = 1, settings.risk\n    return risk.daily_trades",
            {"risk", "risk.daily_trades"},
        ),
        ("getattr(settings.exchange, name, None).base_url", {"exchange", "exchange.*.base_url"}),
        ("file.market.quote", set()),
        ("def f():\n    risk = settings.risk\ndef g(risk):\n    return risk.daily_trades", {"risk"}),
        ("def f():\n    risk = settings.risk\n    risk = other\n    return risk.daily_trades", {"risk"}),
        ("settings.app.seed = 1", {"app"}),
    ],
)
def test_only_what_is_taken_from_the_settings_counts_as_read(code: str, found: set[str]) -> None:
    assert reads(code) == found


# --- The specification -----------------------------------------------------------------------------------------------

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
    risk.instrument_allowed risk.jurisdiction risk.kelly_fraction risk.kill.close_on_auto risk.leverage_max
    risk.liquidation_distance risk.liquidity_share risk.live_gate risk.mandate risk.margin_headroom
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
