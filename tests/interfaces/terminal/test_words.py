"""Facts in plain words."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import get_args

import pytest

from promethean.domain.events import (
    AccountEvent,
    AccountOpened,
    BreakerTripped,
    CancelRequested,
    DayStarted,
    FundingPaid,
    HaltLifted,
    HaltSet,
    IntentRefused,
    LeaseLost,
    OrderAccepted,
    OrderCancelled,
    OrderClaimed,
    OrderDropped,
    OrderExpired,
    OrderFilled,
    OrderFoundAbsent,
    OrderOutcomeUnknown,
    OrderPlanned,
    OrderRejected,
    PositionClosed,
    Reconciled,
    RecordingEnded,
    RunFinished,
    RunnerStarted,
    SignalRaised,
    StrategyKept,
    StrategyReloaded,
)
from promethean.domain.ids import InstrumentId, Lineage, OrderId, StrategyId
from promethean.domain.instruments import Instrument
from promethean.domain.market import Side
from promethean.domain.orders import OrderRole
from promethean.engine.state import State
from promethean.interfaces.terminal.words import FactLog, Numbers, line, money, percent, places

O = OrderId("o")  # noqa: E741  short, as it stands in a table
AT = 1_747_699_200_000_000_000

PLAIN_FACTS: list[tuple[AccountEvent, str, str]] = [
    (
        AccountOpened(AT, "USDT", Decimal(10_000), "binance", "recorded data from btc.parquet"),
        "account",
        "opened with 10,000.00 USDT on paper, recorded data from btc.parquet",
    ),
    (
        RunnerStarted(AT, Lineage("l"), 3, "b", "c"),
        "start",
        "start number 3; nothing new is bought before orders and positions agree",
    ),
    (Reconciled(AT, 0, 0), "start", "orders (none resting) and positions agree with the venue"),
    (
        Reconciled(AT, 2, 1),
        "start",
        "orders (2 resting, 1 of unknown outcome) and positions agree with the venue",
    ),
    (RunFinished(AT), "end", "the recording has ended; what is open stays open"),
    (RecordingEnded(AT), "end", "the recording has ended; what is open is closed at its last close"),
    (DayStarted(AT, 1, Decimal("10000.5")), "day", "a new day begins at 10,000.50 USDT"),
    (
        BreakerTripped(AT, "losing_streak", "3 losing trades in a row", "3"),
        "breaker",
        "circuit breaker tripped, losing_streak: 3 losing trades in a row, limit 3; no entries until 00:00 UTC",
    ),
    (
        HaltSet(AT, "platform", "too hot", "ann", close=True),
        "KILL",
        "platform kill switch set by ann: too hot; closing positions",
    ),
    (HaltLifted(AT, "platform", "ann"), "unkill", "platform kill switch lifted by ann"),
    (
        StrategyReloaded(AT, StrategyId("s"), "0123456789abcdef"),
        "strategy",
        "s follows its changed file, content 0123456789ab",
    ),
    (StrategyKept(AT, StrategyId("s"), "low is a word"), "strategy", "s keeps its running version: low is a word"),
    (LeaseLost(AT), "lease", "another process has taken this account; this one writes nothing any more"),
    (OrderDropped(AT, O, "kill_switch"), "dropped", "the order was given up before it was sent: kill_switch"),
    (OrderRejected(AT, O, "funds", "not enough", "e"), "rejected", "the venue refused the order: funds not enough"),
    (OrderOutcomeUnknown(AT, O, "timeout"), "unknown", "looking up what became of an order: timeout"),
    (OrderFoundAbsent(AT, O, "e"), "absent", "the order of unknown outcome never reached the venue"),
    (OrderCancelled(AT, O, "requested", "e"), "cancel", "the order is off the book"),
    (OrderCancelled(AT, O, "by the venue", "e"), "cancel", "the order is off the book: by the venue"),
    (OrderExpired(AT, O, "e"), "expired", "the order's time ended before it was filled whole"),
]


@pytest.fixture
def numbers(instrument: Instrument) -> Numbers:
    return Numbers(instrument)


@pytest.mark.parametrize(("fact", "label", "text"), PLAIN_FACTS, ids=lambda value: type(value).__name__)
def test_a_fact_is_told_in_plain_words(
    fact: AccountEvent, label: str, text: str, state: State, numbers: Numbers
) -> None:
    found = line(fact, state, numbers)
    assert found is not None
    assert (found.label, found.text) == (label, text)


def test_a_signal_is_told_with_its_confidence_and_reason(signal: SignalRaised, state: State, numbers: Numbers) -> None:
    assert str(line(signal, state, numbers)) == "2025-05-20 00:00:00  signal    BUY 72%  RSI(14) is 22.10, below 30"


def test_a_refusal_names_the_code_the_value_and_the_limit(
    refuse: Callable[[str], IntentRefused], state: State, numbers: Numbers
) -> None:
    found = line(refuse("daily_trades"), state, numbers)
    assert found is not None
    assert found.text == "buy 0.00200 BTC: daily_trades, 20 entries today (limit: 20)"


def test_an_order_is_told_by_its_purpose_and_price(
    plan: Callable[..., OrderPlanned], state: State, numbers: Numbers
) -> None:
    told = [
        line(plan(role, side, leg), state, numbers)
        for role, side, leg in (
            (OrderRole.ENTRY, Side.BUY, 0),
            (OrderRole.STOP, Side.SELL, 0),
            (OrderRole.TARGET, Side.SELL, 2),
        )
    ]
    assert [found.text for found in told if found is not None] == [
        "entry: buy 0.00200 BTC at 99,900.00 or better, 14 controls passed",
        "stop: sell 0.00200 BTC when the price touches 99,900.00",
        "target 2: sell 0.00200 BTC at 99,900.00 or better",
    ]


def test_a_fill_says_what_is_held_afterwards(bought: OrderFilled, holding_state: State, numbers: Numbers) -> None:
    found = line(bought, holding_state, numbers)
    assert found is not None
    assert found.text == "bought 0.00200 BTC at 99,900.00, fee 0.1998 USDT (maker); now long 0.00200 BTC"


def test_a_closed_trade_gives_its_result_after_fees(lost: PositionClosed, state: State, numbers: Numbers) -> None:
    found = line(lost, state, numbers)
    assert found is not None
    assert found.text == "-2.40 USDT after fees; long 99,900.00 to 98,900.00, by stop"


def test_steps_between_have_no_words(state: State, numbers: Numbers) -> None:
    between = (OrderClaimed(AT, O, 1, AT), OrderAccepted(AT, O, "v", "e"), CancelRequested(AT, O, "exit"))
    assert [line(fact, state, numbers) for fact in between] == [None, None, None]


def test_every_kind_of_fact_either_has_words_or_is_a_step_between() -> None:
    from promethean.interfaces.terminal import words

    silent = {OrderClaimed, OrderAccepted, CancelRequested}
    assert set(words._LINES) | silent == set(get_args(AccountEvent))


def test_refusals_of_one_code_in_a_row_are_one_entry_with_their_number(
    signal: SignalRaised, refuse: Callable[[str], IntentRefused], state: State, numbers: Numbers
) -> None:
    log = FactLog()
    for _ in range(37):
        log.add(signal, state)
        log.add(refuse("circuit_breaker"), state)
    told = log.lines(numbers, 10)
    assert [found.label for found in told] == ["signal", "refused"]
    assert told[1].full_text.endswith("\N{MULTIPLICATION SIGN}37")


def test_a_refusal_of_another_code_is_an_entry_of_its_own(
    refuse: Callable[[str], IntentRefused], state: State, numbers: Numbers
) -> None:
    log = FactLog()
    assert [log.add(refuse(code), state) for code in ("a", "a", "b", "a")] == [True, False, True, True]
    assert [found.times for found in log.lines(numbers, 10)] == [2, 1, 1]


def test_the_log_keeps_only_the_newest_facts(signal: SignalRaised, state: State, numbers: Numbers) -> None:
    log = FactLog(keep=3)
    for _ in range(10):
        log.add(signal, state)
    assert len(log.lines(numbers, 100)) == 3


@pytest.mark.parametrize(
    ("amount", "text"), [("0", "0.00"), ("-0.001", "0.00"), ("-1234.5", "-1,234.50"), ("1e6", "1,000,000.00")]
)
def test_money_has_two_places_and_no_minus_nothing(amount: str, text: str) -> None:
    assert money(Decimal(amount)) == text


def test_a_gain_has_a_plus_and_a_percentage_has_its_sign() -> None:
    assert money(Decimal("1.239"), signed=True) == "+1.24"
    assert percent(0.0123, signed=True) == "+1.23 %"


@pytest.mark.parametrize(("step", "count"), [("0.01", 2), ("1", 0), ("10", 0), ("0.00100", 3)])
def test_places_come_from_the_venues_grid(step: str, count: int) -> None:
    assert places(Decimal(step)) == count


@pytest.mark.parametrize(
    ("quantity", "rate", "amount", "said"),
    [
        ("0.5", "0.0001", "4.995", "5.00 USDT paid on the long position; 0.0100 % at 99,900.00"),
        ("-0.5", "0.0001", "-4.995", "5.00 USDT received on the short position; 0.0100 % at 99,900.00"),
    ],
)
def test_funding_says_who_paid_at_which_rate(
    quantity: str, rate: str, amount: str, said: str, state: State, numbers: Numbers
) -> None:
    perpetual, strategy = InstrumentId("binance:BTCUSDT-PERP"), StrategyId("s")
    paid = FundingPaid(AT, perpetual, strategy, *map(Decimal, (quantity, rate, "99900", amount)))
    found = line(paid, state, numbers)
    assert found is not None
    assert found.text == said
