"""Limits, units and types: what becomes a value, and what is refused in which words."""

from __future__ import annotations

import re
import traceback
from decimal import Decimal
from pathlib import Path

import pytest
from tests.config.loading import KEY, OTHER_KEY, load, refusal

from promethean.config.leaves import paths
from promethean.config.units import fraction
from promethean.domain.errors import ConfigError


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


# --- Secrets ---------------------------------------------------------------------------------------------------------


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
