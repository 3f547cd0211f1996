"""What is on the screen while the platform runs."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from rich.console import Console

from promethean.domain.events import IntentRefused, OrderCancelled, OrderFilled, OrderPlanned, SignalRaised
from promethean.domain.ids import OrderId
from promethean.domain.market import Side
from promethean.domain.orders import Order, OrderRole, OrderStatus
from promethean.engine.state import State
from promethean.interfaces.terminal.view import LineView, LivingView, QuietView
from promethean.runtime.watching import RunInfo as Run


def console(width: int = 100, height: int = 30) -> Console:
    return Console(file=io.StringIO(), record=True, width=width, height=height, highlight=False)


def lines_of(screen: Console) -> list[str]:
    return [text.rstrip() for text in screen.export_text().splitlines()]


def painted(living: LivingView, screen: Console) -> list[str]:
    screen.print(living.picture())
    return [text for text in lines_of(screen) if text]


def test_the_picture_shows_the_market_the_account_and_the_facts(
    run: Run, state: State, signal: SignalRaised, refuse: Callable[[str], IntentRefused]
) -> None:
    screen = console()
    living = LivingView(screen)
    living.started(run)
    living.told([(signal, state), (refuse("daily_trades"), state)])
    assert painted(living, screen) == [
        "PROMETHEAN   PAPER   rsi-btc-1m on BTC/USDT, 1m",
        "Recorded data from btc.parquet  account paper-file-1",
        "─" * 100,
        "Candle    05-20 00:19  close 99,810.00  -0.01 %  open 99,820.00  high 99,822.00  low 99,808.00",
        "Reading   RSI(14) 0.00   price 99,810.00 at 00:20:00",
        "Position  flat",
        "Exits     none resting",
        "Equity    10,001.50 USDT   today +1.50 (+0.02 %)   cash 10,001.50",
        "Limits    entries 3 of 20   exposure 0 of 5,000   breaker ready",
        "Trades    3 (2 won, 1 lost)   -0.50 USDT after fees   signals 9   refused 4",
        "Replay    ━━━━━━━━━━━━━━━━━━━━━━━━    0%  0 of 1,000 candles, 0/s",
        "─" * 100,
        "05-20 00:00  signal    BUY 72%  RSI(14) is 22.10, below 30",
        "05-20 00:00  refused   buy 0.00200 BTC: daily_trades, 20 entries today (limit: 20)",
    ]


def test_an_open_position_shows_its_stop_its_targets_and_its_result(
    run: Run, holding_state: State, plan: Callable[..., OrderPlanned], bought: OrderFilled
) -> None:
    resting: dict[OrderId, Order] = {}
    for number, (role, leg) in enumerate(((OrderRole.STOP, 0), (OrderRole.TARGET, 1))):
        planned = plan(role, Side.SELL, leg)
        order = Order(planned.order_id, planned.client_order_id, planned.intent, OrderStatus.OPEN)
        resting[OrderId(f"{number}")] = order
    state = replace(holding_state, account=replace(holding_state.account, orders=resting))
    screen = console()
    living = LivingView(screen)
    living.started(run)
    living.told([(bought, state)])
    shown = painted(living, screen)
    assert "Position  long 0.00200 BTC from 99,900.00   -0.18 USDT before exit fees" in shown
    assert "Exits     stop 99,900.00   target 1 99,900.00" in shown
    assert "Limits    entries 3 of 20   exposure 200 of 5,000   breaker ready" in shown


def test_invented_prices_are_marked_on_the_screen(synthetic_run: Run, state: State) -> None:
    screen = console()
    living = LivingView(screen)
    living.started(synthetic_run)
    living.tick(state, 20)
    shown = painted(living, screen)
    assert shown[1] == " SYNTHETIC   Market (invented prices, seed 0)  account paper-file-1"
    assert not any(text.startswith("Replay") for text in shown)


def test_a_kill_and_a_tripped_breaker_are_on_the_limits_line(run: Run, state: State) -> None:
    assert state.account.day is not None
    tripped = replace(state, account=replace(state.account, day=replace(state.account.day, breaker="losing_streak")))
    killed = replace(state, account=replace(state.account, halts=frozenset({"platform"})))
    for changed, words in ((tripped, "breaker tripped: losing_streak"), (killed, "KILLED (platform)")):
        screen = console()
        living = LivingView(screen)
        living.started(run)
        living.tick(changed, 1)
        assert any(words in text for text in painted(living, screen))


@pytest.mark.parametrize("width", [80, 100, 140])
def test_no_line_of_the_picture_is_wider_than_the_terminal(
    width: int, run: Run, holding_state: State, refuse: Callable[[str], IntentRefused]
) -> None:
    screen = console(width)
    living = LivingView(screen)
    living.started(run)
    living.told([(refuse("circuit_breaker_daily_loss"), holding_state)])
    shown = painted(living, screen)
    assert max(map(len, shown)) <= width
    assert len(shown) == 13  # one line each: nothing is wrapped


def test_the_picture_fits_a_terminal_of_24_lines(run: Run, state: State, signal: SignalRaised) -> None:
    screen = console(80, 24)
    living = LivingView(screen)
    living.started(run)
    living.told([(signal, state)] * 50)
    assert len(painted(living, screen)) <= 24


def test_before_the_run_has_started_the_picture_says_so() -> None:
    screen = console()
    assert painted(LivingView(screen), screen) == ["Starting: database, journal, feed ..."]


def test_a_pipe_gets_one_line_for_each_fact(
    run: Run, state: State, signal: SignalRaised, plan: Callable[..., OrderPlanned]
) -> None:
    screen = console()
    with LineView(screen) as told:
        told.started(run)
        told.told([(signal, state), (plan(OrderRole.ENTRY, Side.BUY), state)])
    assert lines_of(screen) == [
        "PAPER trading starts: rsi-btc-1m on BTC/USDT, account paper-file-1",
        "Prices: recorded data from btc.parquet",
        "2025-05-20 00:00:00  signal    BUY 72%  RSI(14) is 22.10, below 30",
        "2025-05-20 00:00:00  order     entry: buy 0.00200 BTC at 99,900.00 or better, 14 controls passed",
    ]


def test_a_pipe_gets_repeated_refusals_as_one_line_and_their_number(
    run: Run, state: State, signal: SignalRaised, refuse: Callable[[str], IntentRefused], cancelled: OrderCancelled
) -> None:
    screen = console()
    with LineView(screen) as told:
        told.started(run)
        for _ in range(5):
            told.told([(signal, state), (refuse("circuit_breaker"), state)])
        told.told([(cancelled, state)])
    labels = [text[21:29].strip() or text.strip() for text in lines_of(screen)[2:]]
    assert labels == ["signal", "refused", "the same 4 more times", "cancel"]


def test_repeats_at_the_end_of_a_run_are_told_as_well(
    run: Run, state: State, refuse: Callable[[str], IntentRefused]
) -> None:
    screen = console()
    with LineView(screen) as told:
        told.started(run)
        told.told([(refuse("circuit_breaker"), state)] * 3)
    assert lines_of(screen)[-1].strip() == "the same 2 more times"


def test_a_fast_replay_into_a_pipe_is_told_in_counters(
    run: Run, state: State, signal: SignalRaised, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    screen = console()
    with LineView(screen, counters=True) as told:
        told.started(run)
        told.told([(signal, state)])
        for candles in range(100):
            now[0] += 0.125
            told.tick(state, candles)
    assert lines_of(screen)[2:] == [
        "39 of 1,000 candles, 9 signals, 4 refusals, 6 fills, 3 trades",
        "79 of 1,000 candles, 9 signals, 4 refusals, 6 fills, 3 trades",
    ]


def test_machines_get_sentences_on_standard_error_only(
    run: Run, state: State, signal: SignalRaised, capsys: pytest.CaptureFixture[str]
) -> None:
    with QuietView() as quiet:
        quiet.say("No network.")
        quiet.started(run)
        quiet.told([(signal, state)])
        quiet.tick(state, 1)
    found = capsys.readouterr()
    assert (found.out, found.err) == ("", "No network.\n")


def test_what_the_platform_says_goes_above_the_living_picture(run: Run) -> None:
    screen = console()
    with LivingView(screen) as living:
        living.say("No network: binance cannot be reached.")
    assert "No network: binance cannot be reached." in lines_of(screen)


def test_facts_of_the_start_itself_are_told_after_what_runs(run: Run, state: State, signal: SignalRaised) -> None:
    screen = console()
    with LineView(screen) as told:
        told.told([(signal, state)])
        told.started(run)
    assert [text.split()[0] for text in lines_of(screen)] == ["PAPER", "Prices:", "2025-05-20"]
