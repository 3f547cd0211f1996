"""Every control at its limit, one step inside and one step outside; nothing missing is ever let through."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from promethean.domain.accounts import AccountMode
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.instants import NS_PER_MS, NS_PER_S
from promethean.domain.instruments import Instrument, MarketType
from promethean.domain.market import Mark, Side
from promethean.domain.orders import Intent, OrderRole, OrderType, Protection
from promethean.domain.verdicts import Passed, Refused
from promethean.risk.check import CONTROLS, RESERVATION, Situation, check, explain
from promethean.risk.limits import Limits

D = Decimal
NOW_NS = 1_747_699_200 * NS_PER_S
TICK, LOT = D("0.01"), D("0.0001")
BTC = Instrument(
    InstrumentId("binance:BTCUSDT"), "binance", "BTC", "USDT", MarketType.SPOT, TICK, LOT, D("0.0010"), D(10)
)  # fmt: skip
PERP = Instrument(
    InstrumentId("binance:BTCUSDT-PERP"), "binance", "BTC", "USDT", MarketType.FUTURES, TICK, LOT, D("0.0010"), D(10)
)  # fmt: skip
LIMITS = Limits(
    price_fresh_s=D(15),
    order_notional_min=D(10),
    order_notional_max=D(1000),
    daily_trades=D(20),
    open_positions=D(3),
    total_exposure=D(5000),
    total_exposure_share=D("0.5"),
    liquidation_distance=D("0.2"),
    leverage_max=D(3),
    circuit_breaker_daily_loss=D("0.05"),
    circuit_breaker_losing_streak=D(3),
)
CALM = Situation(
    now_ns=NOW_NS,
    instrument=BTC,
    mark=Mark(100.0, NOW_NS),
    mode=AccountMode.ACTIVE,
    halts=frozenset(),
    lease_held=True,
    store_healthy=True,
    breaker="",
    equity=D(10_000),
    exposure=D(0),
    positions=0,
    entries_today=0,
    unknown_orders=0,
    cooldown_until_ns=0,
    stop_price=D(99),
)
ENTRY = Intent(
    instrument=BTC.id,
    strategy=StrategyId("rsi-btc-1m"),
    side=Side.BUY,
    type=OrderType.MARKET,
    role=OrderRole.ENTRY,
    quantity=D(1),
    reference_price=D(100),
    reduce_only=False,
    decided_at_ns=NOW_NS,
    reason="RSI(14) is 21.50, below 30",
    protection=Protection(D("0.01")),
)
EXIT = replace(ENTRY, side=Side.SELL, role=OrderRole.SIGNAL, reduce_only=True, protection=None)
CODES = [control.code for control in CONTROLS]
REDUCING = [control.code for control in CONTROLS if control.reducing]


def verdict(
    intent: dict[str, Any] | None = None,
    now: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
    *,
    of: Intent = ENTRY,
) -> Passed | Refused:
    """The verdict on an entry that passes everything, with these things changed."""
    return check(replace(of, **intent or {}), replace(CALM, **now or {}), replace(LIMITS, **limits or {}))


def is_refused_by(code: str, answer: Passed | Refused) -> bool:
    return isinstance(answer, Refused) and answer.code == code


def test_a_calm_situation_lets_an_entry_and_an_exit_through() -> None:
    assert verdict() == Passed(len(CONTROLS))
    assert verdict(of=EXIT) == Passed(len(REDUCING))


# -- boundaries -------------------------------------------------------------------------------------------------------


def aged(age_ns: int) -> dict[str, Any]:
    return {"now": {"mark": Mark(100.0, NOW_NS - age_ns)}}


def sized(notional: str) -> dict[str, Any]:
    return {"intent": {"reference_price": D(notional), "quantity": D(1)}, "now": {"stop_price": D(1)}}


def limit_order(price: str, **now: Any) -> dict[str, Any]:
    return {"intent": {"type": OrderType.LIMIT, "limit_price": D(price)}, "now": now}


def short(**now: Any) -> dict[str, Any]:
    return {"intent": {"side": Side.SELL}, "now": now}


def perpetual(stop: str, liquidation: str, side: Side = Side.BUY) -> dict[str, Any]:
    known = {"instrument": PERP, "stop_price": D(stop), "liquidation_price": D(liquidation)}
    return {"intent": {"side": side}, "now": known}


MS = NS_PER_MS
# For each control: what still passes up to and at the limit, and the first step beyond it.
BOUNDARIES: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "kill_switch": (
        [{"now": {"halts": frozenset()}}],
        [{"now": {"halts": frozenset({scope})}} for scope in ("account", "user", "platform")],
    ),
    "executor_lease": ([{"now": {"lease_held": True}}], [{"now": {"lease_held": False}}]),
    "store_health": ([{"now": {"store_healthy": True}}], [{"now": {"store_healthy": False}}]),
    "circuit_breaker": ([{"now": {"breaker": ""}}], [{"now": {"breaker": "daily_loss"}}]),
    "unknown_orders": ([{"now": {"unknown_orders": 0}}], [{"now": {"unknown_orders": 1}}]),
    "reconciliation": (
        [{"now": {"mode": AccountMode.ACTIVE}}],
        [{"now": {"mode": mode}} for mode in AccountMode if mode is not AccountMode.ACTIVE],
    ),
    "price_fresh": (
        [aged(0), aged(14_999 * MS), aged(15_000 * MS)],
        [aged(15_000 * MS + 1), aged(15_001 * MS), aged(-1), aged(-MS)],
    ),
    "precision": (
        [
            {"intent": {"quantity": D("0.1010")}},
            limit_order("100.01"),
            {"intent": {"quantity": D("0.1001")}},
            {"intent": {"quantity": D("0.1")}},  # notional 10.00
            limit_order("10.00", stop_price=D(9)),
        ],
        [
            {"intent": {"quantity": D("0.10001")}},
            limit_order("100.001"),
            limit_order("0"),
            limit_order("-0.01"),
            {"intent": {"quantity": D("0.0009")}},
            {"intent": {"quantity": D("0.0999")}},  # notional 9.99
            {"intent": {"type": OrderType.STOP_MARKET, "stop_price": D("99.001")}},
        ],
    ),
    "stop_required": (
        [
            {"now": {"stop_price": D("0.01")}},
            {"now": {"stop_price": D("99.98")}},
            {"now": {"stop_price": D("99.99")}},
            short(stop_price=D("100.01")),
            short(stop_price=D("100.02")),
            limit_order("100.10", stop_price=D("99.99")),
            limit_order("99.90", stop_price=D("99.89")),
        ],
        [
            {"now": {"stop_price": D(100)}},
            {"now": {"stop_price": D("100.01")}},
            {"now": {"stop_price": D(0)}},
            short(stop_price=D(100)),
            short(stop_price=D("99.99")),
            limit_order("100.10", stop_price=D("100.00")),  # below the entry, but it would trigger at once
            limit_order("99.90", stop_price=D("99.90")),
        ],
    ),
    "liquidation_distance": (
        [
            perpetual("92.01", "90"),
            perpetual("92.00", "90"),
            perpetual("107.99", "110", Side.SELL),
            perpetual("108.00", "110", Side.SELL),
        ],
        [
            perpetual("91.99", "90"),
            perpetual("89.99", "90"),
            perpetual("108.01", "110", Side.SELL),
            perpetual("111.00", "110", Side.SELL),
        ],
    ),
    "leverage_max": (
        [{"intent": {"leverage": D("2.99")}}, {"intent": {"leverage": D(3)}}],
        [{"intent": {"leverage": D("3.01")}}],
    ),
    "order_notional": (
        [sized("10"), sized("10.01"), sized("999.99"), sized("1000")],
        [sized("1000.01"), {"limits": {"order_notional_min": D("100.01")}}],
    ),
    "open_positions": (
        [{"now": {"positions": 1}}, {"now": {"positions": 2}}],
        [{"now": {"positions": 3}}],
    ),
    "total_exposure": (
        [
            {"now": {"exposure": D("4899.99")}},
            {"now": {"exposure": D(4900)}},
            {"now": {"exposure": D("899.99"), "equity": D(2000)}},
            {"now": {"exposure": D(900), "equity": D(2000)}},
        ],
        [
            {"now": {"exposure": D("4900.01")}},
            {"now": {"exposure": D("900.01"), "equity": D(2000)}},
            {"now": {"exposure": D(900), "equity": D("1999.98")}},
            {"now": {"equity": D(0)}},
            {"now": {"equity": D(-1)}},
        ],
    ),
    "daily_trades": (
        [{"now": {"entries_today": 18}}, {"now": {"entries_today": 19}}],
        [{"now": {"entries_today": 20}}],
    ),
    "cooldown": (
        [{"now": {"cooldown_until_ns": NOW_NS - 1}}, {"now": {"cooldown_until_ns": NOW_NS}}],
        [{"now": {"cooldown_until_ns": NOW_NS + 1}}, {"now": {"cooldown_until_ns": NOW_NS + 180 * NS_PER_S}}],
    ),
}  # fmt: skip


def test_every_control_has_a_boundary() -> None:
    assert list(BOUNDARIES) == CODES


@pytest.mark.parametrize(
    "changes",
    [pytest.param(each, id=f"{code}-{n}") for code in BOUNDARIES for n, each in enumerate(BOUNDARIES[code][0])],
)
def test_a_control_lets_through_what_is_inside_its_limit_and_at_it(changes: dict[str, Any]) -> None:
    assert verdict(**changes) == Passed(len(CONTROLS))


@pytest.mark.parametrize(
    ("code", "changes"),
    [pytest.param(code, each, id=f"{code}-{n}") for code in BOUNDARIES for n, each in enumerate(BOUNDARIES[code][1])],
)
def test_a_control_refuses_one_step_beyond_its_limit_with_its_own_code(code: str, changes: dict[str, Any]) -> None:
    answer = verdict(**changes)
    assert is_refused_by(code, answer), answer
    assert isinstance(answer, Refused)
    assert answer.value
    assert answer.limit


def test_the_smallest_notional_is_mirrored() -> None:
    small: dict[str, Any] = {"intent": {"quantity": D("0.1")}, "limits": {"order_notional_min": D("10")}}
    assert verdict(**small) == Passed(len(CONTROLS))
    market = replace(BTC, notional_min=D(0))
    below = verdict({"quantity": D("0.0999")}, {"instrument": market})
    assert is_refused_by("order_notional", below)
    assert str(below) == "order_notional: 9.99, limit 10 to 1000"


def test_a_stale_price_tells_its_age() -> None:
    answer = verdict(**aged(16_250 * MS))
    assert answer == Refused("price_fresh", "16250 ms old", "15 s", 16_250)


# -- missing inputs ---------------------------------------------------------------------------------------------------

MISSING: dict[str, list[tuple[str, str]]] = {
    "kill_switch": [("now", "halts")],
    "executor_lease": [("now", "lease_held")],
    "store_health": [("now", "store_healthy")],
    "circuit_breaker": [
        ("now", "breaker"), ("limits", "circuit_breaker_daily_loss"), ("limits", "circuit_breaker_losing_streak")
    ],
    "unknown_orders": [("now", "unknown_orders")],
    "reconciliation": [("now", "mode")],
    "price_fresh": [("now", "mark"), ("limits", "price_fresh_s")],
    "precision": [("now", "instrument")],
    "stop_required": [("now", "stop_price"), ("intent", "protection"), ("now", "mark")],
    "liquidation_distance": [("limits", "liquidation_distance"), ("now", "instrument"), ("now", "stop_price")],
    "leverage_max": [("limits", "leverage_max")],
    "order_notional": [("limits", "order_notional_min"), ("limits", "order_notional_max")],
    "open_positions": [("now", "positions"), ("limits", "open_positions")],
    "total_exposure": [
        ("now", "exposure"), ("now", "equity"), ("limits", "total_exposure"), ("limits", "total_exposure_share")
    ],
    "daily_trades": [("now", "entries_today"), ("limits", "daily_trades")],
    "cooldown": [("now", "cooldown_until_ns")],
}  # fmt: skip


def test_every_control_has_its_inputs_listed() -> None:
    assert list(MISSING) == CODES


@pytest.mark.parametrize(
    ("code", "where", "name"), [(code, where, name) for code in MISSING for where, name in MISSING[code]]
)
def test_a_missing_input_refuses(code: str, where: str, name: str) -> None:
    changes: dict[str, Any] = {where: {name: None}}
    assert isinstance(verdict(**changes), Refused)
    answers = dict(
        explain(
            replace(ENTRY, **changes.get("intent", {})),
            replace(CALM, **changes.get("now", {})),
            replace(LIMITS, **changes.get("limits", {})),
        )
    )
    refused = answers[code]
    assert refused is not None
    assert refused.code == code


def test_a_perpetual_without_a_known_liquidation_price_is_refused() -> None:
    assert is_refused_by("liquidation_distance", verdict(now={"instrument": PERP}))


def test_with_nothing_known_and_no_limit_every_control_but_none_lets_through() -> None:
    names = [name for name in Situation.__struct_fields__ if name != "now_ns"]
    nothing = Situation(NOW_NS, **dict.fromkeys(names))
    answers = explain(ENTRY, nothing, Limits())
    assert [code for code, refused in answers if refused is not None] == CODES


# -- order ------------------------------------------------------------------------------------------------------------


def spec_rows(shared: Path) -> list[tuple[str, bool]]:
    """(code, R) of every row of the table of controls, in its order."""
    lines = (shared / "spec" / "SPEC.md").read_text().split("### 8.2 ")[1].split("### 8.3 ")[0].splitlines()
    rows = [re.match(r"\| \d+( R)? \| `(\w+)` \|", line) for line in lines]
    return [(row[2], row[1] is not None) for row in rows if row]


def test_the_controls_stand_in_the_written_order_and_reduce_as_written(shared: Path) -> None:
    rows = spec_rows(shared)
    assert len(rows) == 65
    ours = [(code, reducing) for code, reducing in rows if code in CODES]
    assert [(control.code, control.reducing) for control in CONTROLS] == ours
    assert rows[-1][0] == RESERVATION


@pytest.mark.parametrize("place", range(len(CODES)), ids=CODES)
def test_the_first_control_that_refuses_decides(place: int) -> None:
    """Everything from this control on is broken at once; the answer is this control's."""
    changes: dict[str, Any] = {"intent": {}, "now": {}, "limits": {}}
    for code in reversed(CODES[place:]):
        for where, values in BOUNDARIES[code][1][0].items():
            changes[where] |= values
    answer = verdict(**changes)
    assert is_refused_by(CODES[place], answer), answer


# -- reducing orders --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", CODES)
def test_an_order_that_only_reduces_meets_the_controls_marked_r_alone(code: str) -> None:
    for changes in BOUNDARIES[code][1]:
        rest = {name: values for name, values in changes.items() if name != "intent"}
        intent = {name: value for name, value in changes.get("intent", {}).items() if name != "side"}
        answer = verdict(intent, of=EXIT, **rest)
        if code in REDUCING and changes != {"intent": {"quantity": D("0.0999")}}:
            assert is_refused_by(code, answer), answer
        elif "stop_price" not in intent:
            assert answer == Passed(len(REDUCING)), answer


def test_a_way_out_stays_open_when_everything_else_is_unknown() -> None:
    names = [name for name in Situation.__struct_fields__ if name != "now_ns"]
    known: dict[str, Any] = dict.fromkeys(names) | {"instrument": BTC, "lease_held": True, "store_healthy": True}
    assert check(EXIT, Situation(NOW_NS, **known), Limits()) == Passed(len(REDUCING))


def test_a_remainder_below_the_smallest_notional_can_still_be_closed() -> None:
    assert verdict({"quantity": D("0.0010")}, of=EXIT) == Passed(len(REDUCING))
    assert is_refused_by("precision", verdict({"quantity": D("0.0009")}, of=EXIT))


# -- explaining -------------------------------------------------------------------------------------------------------


def test_an_explanation_lists_every_control_that_applies_with_its_own_answer() -> None:
    assert explain(ENTRY, CALM, LIMITS) == [(code, None) for code in CODES]
    assert explain(EXIT, CALM, LIMITS) == [(code, None) for code in REDUCING]
    late = replace(CALM, entries_today=20, positions=3)
    told = dict(explain(ENTRY, late, LIMITS))
    assert {code for code, refused in told.items() if refused} == {"open_positions", "daily_trades"}
    assert told["daily_trades"] == Refused("daily_trades", "21", "20")


situations = st.builds(
    lambda **changes: replace(CALM, **changes),
    mark=st.sampled_from([None, Mark(100.0, NOW_NS), Mark(98.5, NOW_NS - 20 * NS_PER_S)]),
    mode=st.sampled_from([None, *AccountMode]),
    halts=st.sampled_from([None, frozenset(), frozenset({"user"})]),
    lease_held=st.sampled_from([None, False, True]),
    store_healthy=st.sampled_from([None, False, True]),
    breaker=st.sampled_from([None, "", "losing_streak"]),
    equity=st.sampled_from([None, D(0), D(10_000)]),
    exposure=st.sampled_from([None, D(0), D(4950)]),
    positions=st.sampled_from([None, 0, 3]),
    entries_today=st.sampled_from([None, 0, 20]),
    unknown_orders=st.sampled_from([None, 0, 2]),
    cooldown_until_ns=st.sampled_from([None, 0, NOW_NS + 1]),
    stop_price=st.sampled_from([None, D(99), D(101)]),
)
loosenings = st.dictionaries(st.sampled_from(sorted(LIMITS.record())), st.decimals("0.01", "100000", places=2))


@given(situations, st.sampled_from([ENTRY, EXIT]))
def test_the_check_says_the_first_refusal_of_the_explanation_every_time(now: Situation, intent: Intent) -> None:
    answer = check(intent, now, LIMITS)
    refusals = [refused for _, refused in explain(intent, now, LIMITS) if refused is not None]
    if refusals:
        assert answer == refusals[0]
    else:
        assert answer == Passed(len(REDUCING if intent.reduce_only else CONTROLS))
    assert check(intent, now, LIMITS) == answer


@pytest.mark.scenario("F12")
@given(situations, loosenings)
def test_what_a_file_tightens_never_lets_more_through(now: Situation, file: dict[str, Decimal]) -> None:
    if isinstance(check(ENTRY, now, LIMITS), Refused):
        assert isinstance(check(ENTRY, now, LIMITS.stricter(file)), Refused)


# -- for the journal --------------------------------------------------------------------------------------------------


def test_what_the_controls_saw_is_text_and_leaves_out_what_is_unknown() -> None:
    seen = replace(CALM, exposure=D("1E+3"), positions=2, entries_today=7).summary()
    assert seen == {
        "mark": "100.0",
        "mark_at_ns": str(NOW_NS),
        "equity": "10000",
        "exposure": "1000",
        "positions": "2",
        "entries_today": "7",
        "mode": "ACTIVE",
    }
    unknown = {"mark": None, "equity": None, "exposure": None, "positions": None, "entries_today": None, "mode": None}
    assert replace(CALM, **unknown).summary() == {}
    assert replace(CALM, positions=0, equity=D(0)).summary()["positions"] == "0"
    assert replace(CALM, positions=0, equity=D(0)).summary()["equity"] == "0"
