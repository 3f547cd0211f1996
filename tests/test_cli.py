"""The command line as people and scripts meet it: real processes, exit statuses, last lines."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml
from typer.testing import CliRunner

from promethean import __version__
from promethean.app import asking
from promethean.cli import cli
from promethean.config.layers import load_settings
from promethean.config.pages import reference_page
from promethean.domain.accounts import AccountMode
from promethean.runtime.home import running_process
from promethean.runtime.operations import AccountStatus, PlatformStatus
from promethean.storage.postgres_server import connect_or_start, remove_database, running_dsn

WAIT_S = 60.0
STRATEGY = """
strategy: {id: test, class: rsi_reversion}
market: {exchange: binance, symbol: BTC/USDT, market_type: spot, primary_timeframe: 1m}
parameters: {position_size_pct: 2.0}
exits: {stop_loss_pct: 1.0}
"""
CANDLE_HEAD = "timestamp,open,high,low,close,volume\n"
MINUTE_MS = 60_000
FIRST_MS = 1_747_699_200_000  # 2025-05-20


@pytest.fixture(scope="session")
def homes() -> Iterator[Path]:
    """A folder that every user can pass through: root's database server runs as another user."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2**30
    path = Path(tempfile.mkdtemp(prefix="promethean-test-", dir=memory if roomy else None))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def home(homes: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of the test's own, which `promethean` uses."""
    path = Path(tempfile.mkdtemp(prefix="home-", dir=homes)) / "home"
    path.parent.chmod(0o711)
    monkeypatch.setenv("PROMETHEAN_HOME", str(path))
    yield path
    remove_database(path)


@pytest.fixture(scope="session")
def used_home(homes: Path) -> Path:
    """A home on which a short recording has run to its end, stopped; tests copy it or only read."""
    path = homes / "used" / "home"
    path.parent.mkdir(mode=0o711)
    candles = homes / "binance_spot_BTCUSDT_1m.csv"
    candles.write_text(falling_candles(300))
    environment = {**os.environ, "PROMETHEAN_HOME": str(path)}
    command = [*PROGRAM, "up", "--feed", str(candles), "--speed", "max", "--until-end", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture
def copied_home(home: Path, used_home: Path) -> Path:
    subprocess.run(["cp", "-a", str(used_home), str(home)], check=True)
    return home


def falling_candles(count: int) -> str:
    rows = [CANDLE_HEAD]
    for number in range(count):
        price = 100_000 - 50 * (number % 60) + 2_900 * (number // 60 % 2)
        rows.append(f"{FIRST_MS + number * MINUTE_MS},{price},{price + 20},{price - 20},{price},50.12345\n")
    return "".join(rows)


PROGRAM = (sys.executable, "-m", "promethean")
# These have signal handlers, or a store of which a process can open one; everything else is asked within this process.
IN_A_PROCESS = frozenset({"up", "data"})


@dataclass(frozen=True, slots=True)
class Done:
    status: int
    stdout: str
    stderr: str


def promethean(*arguments: str) -> Done:
    if not IN_A_PROCESS.intersection(arguments[:3]):
        found = CliRunner().invoke(cli, list(arguments))
        return Done(found.exit_code, found.stdout, found.stderr)
    done = subprocess.run(
        [*PROGRAM, *arguments],
        env=dict(os.environ),  # said, because readline writes a COLUMNS of its own past os.environ
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def answer(*arguments: str, status: int = 0) -> Any:
    """The object on the last line of standard output."""
    done = promethean(*arguments, "--json")
    assert done.status == status, f"{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


def refused(*arguments: str, status: int = 2) -> str:
    """The one line that a person gets."""
    done = promethean(*arguments)
    return the_line(done.stderr, done.status, status)


def refused_at_once(*arguments: str) -> str:
    """As `refused`, within this process: for what `up` refuses before anything starts."""
    found = CliRunner().invoke(cli, list(arguments))
    return the_line(found.stderr, found.exit_code, 2)


def the_line(stderr: str, status: int, expected: int) -> str:
    assert status == expected, stderr
    assert "Traceback" not in stderr
    (line,) = [line for line in stderr.splitlines() if line.startswith("error: ")]
    return line


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)


def status_of(home: Path) -> PlatformStatus:
    """As `promethean status`, without a process of its own."""
    return asking.status(load_settings({"app.home": str(home)}, {}, Path.cwd()))


@pytest.fixture
def running(copied_home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `promethean up` on the copied home in the background, and ends it."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*PROGRAM, "up", *arguments],
            env=dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        until(lambda: process.poll() is not None or running_process(copied_home) == process.pid)
        assert process.poll() is None, process.stdout and process.stdout.read()
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=WAIT_S)


# ---------------------------------------------------------------- help and start-up


def test_the_command_line_imports_nothing_heavy_before_a_command_runs() -> None:
    heavy = ("numpy", "pydantic", "sqlalchemy", "asyncpg", "ccxt", "chdb", "clickhouse_connect", "pyarrow", "alembic")
    program = f"import sys, promethean.cli; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_names_every_command() -> None:
    done = promethean("--help")
    assert done.status == 0
    for command in ("up", "status", "doctor", "kill", "unkill", "account", "audit", "catalogue", "config", "data"):
        assert re.search(rf"\b{command}\b", done.stdout)


def test_an_unknown_command_or_option_has_status_2() -> None:
    assert promethean("upp").status == 2
    assert promethean("up", "--sped", "max").status == 2


def test_looking_at_an_empty_home_makes_nothing(home: Path) -> None:
    report = answer("status")
    assert (report["process"], report["accounts"], report["kill_switch"]) == (None, [], [])
    assert answer("account", "list") == {"accounts": []}
    assert answer("audit", "verify") == {"ok": True, "rows": 0, "streams": []}
    assert not home.exists()


# ---------------------------------------------------------------- bad input


def test_an_unknown_strategy_is_refused_with_the_closest_name(home: Path) -> None:
    assert "did you mean 'rsi_reversion.yaml'" in refused("up", "--feed", "synthetic", "--strategy", "rsi_reversoin")


def test_an_unknown_key_of_a_strategy_file_is_named(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(STRATEGY.replace("stop_loss_pct", "stop_los_pct"))
    line = refused("up", "--feed", "synthetic", "--strategy", str(file))
    assert "'stop_los_pct'" in line
    assert "'stop_loss_pct'" in line


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("risk.daily_trade=10", "did you mean 'risk.daily_trades'"),
        ("risk.daily_trades=0", "risk.daily_trades is 0, below the minimum of 1; set it to 1 or more"),
        ("risk.total_exposure_pct=0.01", "below the minimum of 0.1"),
        ("execution.paper_latency_ms=150kg", "execution.paper_latency_ms is '150kg'"),
        ("risk.daily_trades", "write for example --set risk.daily_trades=10"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_limit_and_remedy(home: Path, given: str, words: str) -> None:
    assert words in refused_at_once("up", "--set", given)
    assert not home.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--speed", "fast"), "--speed is 'fast'; write max, or a number above 0"),
        (("--speed", "0"), "--speed is '0'"),
        (("--speed", "nan"), "--speed is 'nan'"),
        (("--for", "30"), "--for is '30'; write a duration such as 45s, 30m, 2h"),
        (("--for", "0s"), "--for is '0s'"),
        (("--role", "trader"), "--role trader is not available yet"),
        (("--strategy", "a", "--strategy", "b"), "2 strategies at once are not available yet"),
        (("--mode", "real"), "app.mode is 'real', not one of"),
    ],
)
def test_a_wrong_option_of_up_is_refused(home: Path, arguments: tuple[str, ...], words: str) -> None:
    assert words in refused_at_once("up", *arguments)
    assert not home.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--mode", "live"), "only paper trading is available yet"),
        (("--feed", "nothing.parquet"), "nothing.parquet"),
        (("--feed", "synthetic", "--until-end"), "--until-end needs a feed that ends"),
    ],
)
def test_what_up_finds_out_while_it_starts_is_refused_as_well(
    copied_home: Path, arguments: tuple[str, ...], words: str
) -> None:
    assert words in refused("up", *arguments)


def test_machines_get_the_error_as_the_last_object(home: Path) -> None:
    report = answer("up", "--speed", "fast", status=2)
    assert report["error"].startswith("--speed is 'fast'")


def test_a_home_that_cannot_be_written_is_refused() -> None:
    assert "the home /dev/null/x cannot be written" in refused("--home", "/dev/null/x", "up", "--feed", "synthetic")


def test_a_configured_port_that_is_in_use_is_refused(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert str(port) in refused("up", "--feed", "synthetic", "--set", f"postgres.port={port}")


def test_a_damaged_key_file_is_refused_before_anything_starts(home: Path) -> None:
    home.mkdir()
    key = home / "vault.key"
    key.write_text("not a key\n")
    key.chmod(0o600)
    assert "is damaged; restore it from its backup" in refused("up", "--feed", "synthetic")
    assert not (home / "postgres").exists()


def test_a_file_without_the_needed_columns_is_refused(copied_home: Path, tmp_path: Path) -> None:
    file = tmp_path / "binance_spot_BTCUSDT_1m.csv"
    file.write_text("timestamp,open,high,low,volume\n1747699200000,1,1,1,1\n")
    assert "close" in refused("up", "--feed", str(file), "--speed", "max", "--until-end")
    assert "close" in refused("data", "import", str(file))


def test_our_own_mistake_gives_a_sentence_and_leaves_the_story_in_the_log(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(settings: object) -> None:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(asking, "status", broken)
    found = promethean("status")
    log = home / "logs" / "promethean.log"
    assert found.status == 1
    assert f"ZeroDivisionError: of ours); the details are in {log}" in found.stderr
    assert "Traceback" not in found.stderr
    assert "ZeroDivisionError: of ours" in json.loads(log.read_text())["exception"]


# ---------------------------------------------------------------- a recording


def test_a_recording_runs_to_its_end_and_is_summed_up(used_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEAN_HOME", str(used_home))
    (account,) = answer("status")["accounts"]
    assert account["finished"] is True
    assert account["last_event"] == "RunFinished"
    report = answer("audit", "verify")
    assert report["ok"] is True
    assert [stream["rows"] for stream in report["streams"] if stream["stream"].startswith("market/")] == [300]
    page = promethean("status").stdout
    assert "not running" in page
    assert account["label"] in page


def test_the_summary_of_a_run_is_one_object_with_the_agreed_fields(home: Path, homes: Path, used_home: Path) -> None:
    candles = homes / "binance_spot_BTCUSDT_1m.csv"
    report = answer("up", "--feed", str(candles), "--speed", "max", "--until-end")
    agreed = {
        "candles", "signals", "orders", "fills", "trades", "fees", "final_equity", "journal_hash", "events_per_s",
    }  # fmt: skip
    assert agreed <= set(report)
    assert (report["candles"], report["finished"], report["synthetic"]) == (300, True, False)
    assert re.fullmatch(r"\d+(\.\d+)?", report["final_equity"])


def test_a_person_gets_each_fact_and_a_summary(home: Path, homes: Path, used_home: Path) -> None:
    candles = homes / "binance_spot_BTCUSDT_1m.csv"
    done = promethean("up", "--feed", str(candles), "--speed", "max", "--until-end", "--plain")
    assert done.status == 0
    for words in ("PAPER trading starts", "signal", "order", "fill", "The recording has ended.", "promethean status"):
        assert words in done.stdout


def test_a_row_edited_by_hand_is_named(copied_home: Path) -> None:
    dsn, server = connect_or_start(copied_home)
    assert server is not None

    async def edit() -> str:
        connection = await asyncpg.connect(dsn)
        try:
            stream = await connection.fetchval("SELECT stream FROM events WHERE stream LIKE 'account/%' LIMIT 1")
            await connection.execute(
                "UPDATE events SET payload = jsonb_set(payload, '{event,balance}', '\"99999\"')"
                " WHERE stream = $1 AND sequence = 1",
                stream,
            )
            return str(stream)
        finally:
            await connection.close()

    try:
        stream = asyncio.run(edit())
    finally:
        server.stop()
    assert f"journal stream {stream} is damaged at row 1" in refused("audit", "verify", status=2)
    report = answer("audit", "verify", status=2)
    assert report["ok"] is False
    assert "damaged at row 1" in report["error"]


def test_the_key_file_is_rotated_and_the_platform_goes_on(copied_home: Path) -> None:
    before = (copied_home / "vault.key").read_bytes()
    assert answer("secrets", "rotate") == {"rows": 0}
    assert (copied_home / "vault.key").read_bytes() != before
    assert (copied_home / "vault.key.previous").read_bytes() == before
    assert answer("audit", "verify")["ok"] is True


# ---------------------------------------------------------------- two processes


def test_a_second_up_on_the_same_home_is_refused(
    running: Callable[..., subprocess.Popen[str]],
) -> None:
    first = running("--feed", "synthetic", "--speed", "600", "--plain")
    line = refused("up", "--feed", "synthetic")
    assert f"process {first.pid}" in line


def test_a_kill_from_a_second_process_stops_a_running_platform_and_unkill_lets_it_go_on(
    copied_home: Path, running: Callable[..., subprocess.Popen[str]]
) -> None:
    process = running("--feed", "synthetic", "--speed", "600", "--plain")
    until(lambda: synthetic_account(copied_home) is not None)
    assert "add --yes" in refused("kill")
    killed = answer("kill", "--yes", "--reason", "a test")
    assert (killed["result"], killed["stored"], killed["left"]) == ("FLAT", True, [])
    report = status_of(copied_home)
    assert report.process == process.pid
    assert {account.mode for account in report.accounts} == {AccountMode.HALTED}
    assert "a test" in report.kill_switch[0]
    # A yes is not enough, and neither is the word of another kill.
    line = refused("unkill", "--yes")
    assert "lifting it needs a person" in line
    assert "is not the word of this kill" in refused("unkill", "--confirm", "lift-000000")
    word = line.rpartition(" ")[2]
    assert answer("unkill", "--confirm", word)["still_set"] == []
    until(lambda: "HaltLifted" in facts_of(copied_home))
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    for words in ("platform kill switch set by", "platform kill switch lifted", "Stopped; the same command goes on"):
        assert words in shown


def synthetic_account(home: Path) -> AccountStatus | None:
    found = [account for account in status_of(home).accounts if account.exchange == "synthetic"]
    return found[0] if found and found[0].last_event else None


def facts_of(home: Path) -> set[str]:
    """The types of the facts of the synthetic account."""
    account = synthetic_account(home)
    dsn = running_dsn(home)
    assert account is not None
    assert dsn is not None

    async def ask() -> set[str]:
        connection = await asyncpg.connect(dsn)
        try:
            rows = await connection.fetch("SELECT DISTINCT type FROM events WHERE stream = $1", f"account/{account.id}")
        finally:
            await connection.close()
        return {row["type"] for row in rows}

    return asyncio.run(ask())


def test_a_kill_works_while_nothing_runs_and_holds_until_it_is_lifted(home: Path) -> None:
    killed = answer("kill", "--yes")
    assert (killed["result"], killed["stored"]) == ("NOT_RUNNING", False)
    assert answer("status")["kill_switch"] != []


def test_an_unknown_account_cannot_be_killed(copied_home: Path) -> None:
    assert "unknown account 'mian'" in refused("kill", "--scope", "account", "mian", "--yes")
    assert "needs the account's label" in refused("kill", "--scope", "account", "--yes")
    assert "write --scope account main" in refused("kill", "main", "--yes")
    assert "write platform or account" in refused("kill", "--scope", "user", "--yes")


# ---------------------------------------------------------------- the other commands


def test_a_paper_account_is_added_once(copied_home: Path) -> None:
    made = answer("account", "add", "--exchange", "binance", "--label", "main")
    assert (made["label"], made["is_paper"]) == ("main", True)
    assert "main" in [account["label"] for account in answer("account", "list")["accounts"]]
    assert "choose another label" in refused("account", "add", "--exchange", "binance", "--label", "main")
    assert "did you mean 'binance'" in refused("account", "add", "--exchange", "binanc", "--label", "x")
    assert "not available yet" in refused("account", "add", "--exchange", "binance", "--label", "x", "--live")


@pytest.fixture
def no_venue(monkeypatch: pytest.MonkeyPatch) -> None:
    """The venue is a closed port of this machine."""
    monkeypatch.setenv("PROMETHEAN_EXCHANGE_BINANCE_BASE_URL", "http://127.0.0.1:9")


@pytest.mark.usefixtures("no_venue")
def test_the_doctor_finds_a_good_home_fine_and_names_what_is_wrong_with_a_bad_one(copied_home: Path) -> None:
    report = answer("doctor")
    assert report["ok"] is True, report
    (copied_home / "vault.key").write_text("not a key\n")
    (copied_home / "vault.key").chmod(0o600)
    report = answer("doctor", status=1)
    (problem,) = [check for check in report["checks"] if not check["ok"]]
    assert problem["name"] == "Key file"
    assert "restore it from its backup" in problem["remedy"]


@pytest.mark.usefixtures("no_venue")
def test_the_doctor_on_an_empty_home_makes_nothing(home: Path) -> None:
    assert answer("doctor")["ok"] is True
    assert not home.exists()


def test_an_import_shows_what_came_in_and_what_was_left_out_and_may_be_repeated(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "binance_spot_BTCUSDT_1m.csv"
    good = falling_candles(30).splitlines()
    broken = f"{FIRST_MS + 40 * MINUTE_MS},100,90,110,100,1"  # its high is below its low
    file.write_text("\n".join([*good, broken]) + "\n")
    first = answer("data", "import", str(file))
    assert (first["rows_read"], first["imported"], sum(first["quarantined"].values())) == (31, 30, 1)
    again = answer("data", "import", str(file))
    assert (again["imported"], again["already_present"]) == (0, 30)
    (stored,) = answer("data", "list")["series"]
    assert (stored["rows"], stored["missing"], stored["key"]["symbol"]) == (30, 0, "BTC/USDT")


def test_an_assumed_market_type_is_said(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "bybit_BTCUSDT_1m.csv"
    file.write_text(falling_candles(5))
    page = promethean("data", "import", str(file)).stdout
    assert "bybit:BTC/USDT, 1m  the name does not say spot or futures, so spot is assumed" in page
    named = answer("data", "import", str(file), "--market", "bybit:BTC/USDT-PERP")
    assert (named["market_type_assumed"], named["imported"]) == (False, 5)
    assert "write it as binance:BTC/USDT" in refused_at_once("data", "import", str(file), "--market", "BTC")


def test_settings_are_shown_with_their_origin_and_secrets_are_not(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hidden@127.0.0.1/x")
    rows = {row["path"]: row for row in answer("config", "show", "--set", "risk.daily_trades=7")["settings"]}
    assert (rows["risk.daily_trades"]["value"], rows["risk.daily_trades"]["origin"]) == ("7", "command line")
    assert rows["postgres.url"]["value"] == "***"
    assert "hidden" not in promethean("config", "show").stdout
    assert answer("config", "check")["ok"] is True


def test_the_reference_page_is_the_one_in_the_documentation() -> None:
    assert promethean("config", "reference").stdout == reference_page()


def test_the_catalogue_has_the_shape_of_the_specification_and_claims_nothing_more(shared: Path, home: Path) -> None:
    specified = yaml.safe_load((shared / "spec" / "catalogue.yaml").read_text())
    found = answer("catalogue")
    assert set(specified) <= set(found)
    for kind, names in found.items():
        if isinstance(names, list) and names:
            assert set(names) <= set(specified[kind]), kind
    assert found["strategies_builtin"] == ["rsi_reversion"]
    assert found["modes"] == ["paper"]
    assert set(found["signals"]["aggregators"]) == set(specified["signals"]["aggregators"])
    assert {"orders", "fills", "events"} <= set(found["postgres_tables"])


def test_the_version_is_printed() -> None:
    assert answer("version")["version"] == __version__
    assert promethean("version").stdout.startswith(f"promethean {__version__}")
