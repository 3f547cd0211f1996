"""Events as text: what is written reads back as the same value, and its text survives PostgreSQL."""

from __future__ import annotations

import enum
import json
import types
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from promethean.domain.candles import Candle
from promethean.domain.errors import StoreError
from promethean.domain.events import CandleClosed, Event, OrderDropped
from promethean.domain.ids import InstrumentId, OrderId
from promethean.domain.market import Quote, Side
from promethean.domain.orders import Hold, Intent, OrderType, Protection, Tier, TimeInForce, Trail
from promethean.domain.signals import Signal, SignalType
from promethean.storage.database import Database
from promethean.storage.encoding import EVENT_TYPES, canonical, decode, encode, to_json

Run = Callable[[Callable[[Database], Awaitable[Any]]], Any]
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
INSTANTS = st.integers(0, 2**62)
AMOUNTS = st.decimals(min_value=-(10**18), max_value=10**18, allow_nan=False, places=12)
POSITIVE = st.decimals(min_value=Decimal("1e-12"), max_value=10**18, allow_nan=False, places=12)
PRICES = st.floats(min_value=1e-300, max_value=1e300)


@cache
def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type; structs from their own fields, so that a new event needs no edit here."""
    supertype = getattr(kind, "__supertype__", None)
    if supertype is not None:
        return values(supertype)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return st.none() | values(inner)
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(TEXT, values(arguments[1]), max_size=4)
    if kind in _SPECIAL:
        return _SPECIAL[kind]()
    if issubclass(kind, Struct):
        return objects(kind)
    if issubclass(kind, enum.Enum):
        return st.sampled_from(list(kind))
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXT,
        bool: st.booleans(),
        int: INSTANTS,
        float: st.floats(allow_nan=False, allow_infinity=False),
        Decimal: POSITIVE,
    }
    return plain[kind]


def objects(kind: Any, **given_fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    names = kind.__struct_fields__
    parts = {name: given_fields[name] if name in given_fields else values(hints[name]) for name in names}

    @st.composite
    def made(draw: st.DrawFn) -> Any:
        drawn = {name: draw(part) for name, part in parts.items()}
        try:
            return kind(**drawn)
        except ValueError:  # not one of the values that can be built
            assume(False)

    return made()


@st.composite
def candles(draw: st.DrawFn) -> Candle:
    low, first, second, high = sorted(draw(st.lists(PRICES, min_size=4, max_size=4)))
    opened_ns = draw(INSTANTS)
    volume = draw(st.floats(0, 1e300))
    return Candle(
        InstrumentId(draw(TEXT)), draw(TEXT), opened_ns, opened_ns + draw(st.integers(1, 10**15)), first, high, low,
        second, volume,
    )  # fmt: skip


@st.composite
def intents(draw: st.DrawFn) -> Intent:
    kind, until = draw(st.sampled_from(OrderType)), draw(st.sampled_from(TimeInForce))
    intent: Intent = draw(
        objects(
            Intent,
            type=st.just(kind),
            time_in_force=st.just(until),
            limit_price=POSITIVE if kind in (OrderType.LIMIT, OrderType.STOP_LIMIT) else st.none(),
            stop_price=POSITIVE if kind in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT) else st.none(),
            expires_at_ns=INSTANTS if until is TimeInForce.GTD else st.none(),
        )
    )
    return intent


@st.composite
def signals(draw: st.DrawFn) -> Signal:
    kind = draw(st.sampled_from(SignalType))
    share = st.floats(1e-9, 1) if kind is SignalType.PARTIAL_CLOSE else st.none()
    enters = kind in (SignalType.BUY, SignalType.SELL)
    signal: Signal = draw(
        objects(
            Signal,
            type=st.just(kind),
            close_percentage=share,
            confidence=st.floats(0, 1),
            closes=st.sampled_from([None, *Side]) if kind is SignalType.CLOSE else st.none(),
            stop=st.one_of(st.none(), PRICES) if enters else st.none(),
            targets=st.lists(PRICES, max_size=3).map(tuple) if enters else st.just(()),
        )
    )
    return signal


def protections() -> st.SearchStrategy[Protection]:
    fractions = st.decimals(min_value=Decimal("0.0001"), max_value=Decimal("0.3"), places=4)
    tiers = st.lists(
        st.one_of(st.builds(Tier, POSITIVE, fractions), st.builds(Tier, st.just(Decimal(0)), fractions, POSITIVE)),
        max_size=3,
    ).map(tuple)
    trails = st.builds(Trail, fractions, st.one_of(st.none(), fractions))
    holds = st.builds(Hold, st.integers(1, 10**15), st.booleans())
    return st.builds(
        Protection,
        fractions,
        tiers,
        st.one_of(st.none(), trails),
        st.one_of(st.none(), holds),
        st.booleans(),
        st.one_of(st.none(), POSITIVE),
    )


def quotes() -> st.SearchStrategy[Quote]:
    return objects(Quote, bid=st.floats(1e-3, 1e3), ask=st.floats(2e3, 1e6), last=PRICES)


_SPECIAL: dict[Any, Callable[[], st.SearchStrategy[Any]]] = {
    Candle: candles,
    Intent: intents,
    Signal: signals,
    Protection: protections,
    Quote: quotes,
}
KINDS: Mapping[str, Any] = EVENT_TYPES
EVENTS: st.SearchStrategy[Event] = st.one_of([values(kind) for kind in KINDS.values()])


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
@settings(max_examples=25)
@given(st.data())
def test_every_event_reads_back_as_the_same_value(name: str, data: st.DataObject) -> None:
    event = data.draw(values(KINDS[name]))
    assert decode(name, json.loads(encode(event))) == event


@given(candles(), INSTANTS)
def test_the_fast_way_of_a_candle_writes_what_the_general_way_writes(candle: Candle, received_at_ns: int) -> None:
    event = CandleClosed(candle, received_at_ns)
    assert encode(event) == canonical(to_json(event))


@given(EVENTS)
def test_the_text_is_canonical(event: Event) -> None:
    assert canonical(json.loads(encode(event))) == encode(event)


@settings(max_examples=10)
@given(st.lists(EVENTS, min_size=20, max_size=60))
def test_the_text_comes_back_from_postgresql_to_the_byte(server_dsn: str, events: list[Event]) -> None:
    import asyncio

    import asyncpg

    texts = [encode(event) for event in events]

    async def stored() -> list[str]:
        connection = await asyncpg.connect(server_dsn)
        try:
            rows = await connection.fetch(
                "SELECT body::jsonb::text AS body FROM unnest($1::text[]) WITH ORDINALITY AS given(body, place) "
                "ORDER BY place",
                texts,
            )
        finally:
            await connection.close()
        return [row["body"] for row in rows]

    assert [canonical(json.loads(text)) for text in asyncio.run(stored())] == texts


def test_what_is_absent_is_left_out_and_numbers_keep_their_digits() -> None:
    dropped = OrderDropped(1, OrderId("o"), "restart")
    assert encode(dropped) == '{"at_ns":1,"code":"restart","order_id":"o"}'
    assert to_json(Decimal("1E+3")) == "1000"
    assert to_json(0.1) == "0.1"


def test_an_event_of_an_unknown_type_is_refused_with_the_closest_name() -> None:
    with pytest.raises(StoreError, match=r"'OrderFiled'.*OrderFilled"):
        decode("OrderFiled", {})


@pytest.mark.parametrize(
    "body",
    [
        {"at_ns": 1, "order_id": "o"},
        {"candle": {}, "received_at_ns": 1},
    ],
)
def test_a_row_that_does_not_fit_its_type_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(StoreError, match="does not read as one"):
        decode("OrderDropped" if "order_id" in body else "CandleClosed", body)


def test_a_candle_that_cannot_be_one_is_refused() -> None:
    event = CandleClosed(Candle(InstrumentId("i"), "1m", 0, 60, 2.0, 3.0, 1.0, 2.0, 1.0), 60)
    body = json.loads(encode(event))
    with pytest.raises(StoreError, match="CandleClosed does not read as one"):
        decode("CandleClosed", {**body, "candle": {**body["candle"], "low": "9"}})
    assert decode("CandleClosed", body) == replace(event)


def test_a_value_without_a_json_form_is_our_mistake() -> None:
    with pytest.raises(TypeError, match="no JSON form"):
        to_json(object())
