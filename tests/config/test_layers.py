"""What wins, and what is refused in which words: names, files, and secrets given the wrong way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.config.loading import ADDRESS, KEY, load, refusal

from promethean.config.layers import load_settings
from promethean.domain.errors import ConfigError

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


@pytest.mark.parametrize(
    ("yaml", "answer"),
    [
        ("riks: {daily_trades: 5}", "unknown key 'riks' with value a mapping; did you mean 'risk'?"),
        ("vualt: {key: x}", "unknown key 'vualt' with value ***; did you mean 'vault'?"),
        (
            "exchange: {binanse: {base_url: x}}",
            "unknown key 'exchange.binanse' with value a mapping; did you mean 'exchange.binance'?",
        ),
        (
            "riks: 5",
            "unknown key 'riks' with value 5; did you mean a key of 'risk', such as 'risk.price_fresh_paper_s'?",
        ),
        ("daily_trade: 5", "unknown key 'daily_trade' with value 5; did you mean 'risk.daily_trades'?"),
        (
            "risk: {daily_trade: {a: 1}}",
            "unknown key 'risk.daily_trade' with value a mapping; did you mean 'risk.daily_trades'?",
        ),
    ],
)
def test_an_unknown_group_is_compared_with_groups(tmp_path: Path, yaml: str, answer: str) -> None:
    assert refusal(tmp_path, yaml=yaml) == f"promethean.yaml:1: {answer}"


@pytest.mark.parametrize("given", ["riks", "risk"])
def test_a_group_that_gets_one_value_leads_to_its_keys(tmp_path: Path, given: str) -> None:
    assert refusal(tmp_path, cli={given: "5"}) == (
        f"command line: unknown key '{given}' with value 5; "
        "did you mean a key of 'risk', such as 'risk.price_fresh_paper_s'?"
    )
    name = f"PROMETHEAN_{given.upper()}"
    assert refusal(tmp_path, environ={name: "5"}) == (
        f"unknown environment variable '{name}' with value 5; "
        "did you mean a key of 'PROMETHEAN_RISK', such as 'PROMETHEAN_RISK_PRICE_FRESH_PAPER_S'?"
    )


def test_a_mistyped_group_in_a_whole_name_leads_to_the_whole_name(tmp_path: Path) -> None:
    assert "did you mean 'risk.daily_trades'?" in refusal(tmp_path, cli={"riks.daily_trades": "5"})
    message = refusal(tmp_path, environ={"PROMETHEAN_RIKS_DAILY_TRADES": "5"})
    assert "did you mean 'PROMETHEAN_RISK_DAILY_TRADES'?" in message


def test_what_was_meant_for_a_group_with_secrets_is_not_shown(tmp_path: Path) -> None:
    assert "hunter2" not in refusal(tmp_path, environ={"PROMETHEAN_POSGRES": "hunter2"})


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
