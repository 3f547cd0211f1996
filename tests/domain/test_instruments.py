"""Instruments: names that mean one thing, and prices and quantities on the venue's grid."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from promethean.domain.errors import ConfigError
from promethean.domain.ids import InstrumentId
from promethean.domain.instruments import (
    Instrument,
    MarketType,
    Rounding,
    instrument_id,
    parse_symbol,
    split_pair,
)

D = Decimal
BTC = Instrument(
    InstrumentId("binance:BTCUSDT"),
    "binance",
    "BTC",
    "USDT",
    MarketType.SPOT,
    D("0.01"),
    D("0.0001"),
    D("0.0001"),
    D(5),
)


def changed(name: str, value: object) -> Instrument:
    values: dict[str, Any] = {name: value}
    return replace(BTC, **values)


increments = st.sampled_from([D("1e-8"), D("0.0001"), D("0.01"), D("0.05"), D("0.03"), D("0.5"), D(1), D(10)])
prices = st.decimals("0.00000001", 1_000_000, places=8)


@given(prices, increments)
def test_a_rounded_price_lies_on_the_grid_within_one_tick(price: Decimal, tick: Decimal) -> None:
    market = replace(BTC, price_increment=tick)
    down, up = market.round_price(price, Rounding.DOWN), market.round_price(price, Rounding.UP)
    near, near_down = market.round_price(price), market.round_price(price, Rounding.NEAREST_DOWN)
    assert all(rounded % tick == 0 for rounded in (down, up, near, near_down))
    assert down <= price <= up < price + tick
    assert up - down == (0 if price % tick == 0 else tick)
    assert near in (down, up)
    assert abs(near - price) * 2 <= tick
    assert near_down == (near if abs(near - price) * 2 < tick else down)


@given(prices, increments, st.sampled_from(Rounding))
def test_rounding_a_price_twice_changes_nothing_more(price: Decimal, tick: Decimal, rounding: Rounding) -> None:
    market = replace(BTC, price_increment=tick)
    once = market.round_price(price, rounding)
    assert market.round_price(once, rounding) == once


@pytest.mark.scenario("A17")
@given(st.decimals(-1000, 1000, places=10), increments)
def test_a_quantity_rounds_towards_zero(quantity: Decimal, lot: Decimal) -> None:
    market = replace(BTC, quantity_increment=lot)
    rounded = market.round_quantity(quantity)
    assert rounded % lot == 0
    assert abs(rounded) <= abs(quantity) < abs(rounded) + lot
    assert rounded * quantity >= 0


def test_halfway_prices_and_tier_quantities_round_up_unless_mirrored() -> None:
    assert BTC.round_price(D("43009.065")) == D("43009.07")
    assert BTC.round_price(D("43009.065"), Rounding.NEAREST_DOWN) == D("43009.06")
    assert BTC.round_quantity_nearest(D("0.01575")) == D("0.0158")
    assert BTC.round_quantity(D("0.01579")) == D("0.0157")


@given(st.integers(1, 10**12))
def test_a_float_price_comes_back_as_the_price_that_was_written(ticks: int) -> None:
    price = ticks * D("0.01")
    assert BTC.price_from_float(float(price)) == price


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_what_is_not_finite_is_neither_a_price_nor_a_quantity(text: str) -> None:
    for rounding in Rounding:
        with pytest.raises(ValueError, match="not a price"):
            BTC.round_price(D(text), rounding)
    for round_quantity in (BTC.round_quantity, BTC.round_quantity_nearest):
        with pytest.raises(ValueError, match="not a quantity"):
            round_quantity(D(text))
    with pytest.raises(ValueError, match="not a price"):
        BTC.price_from_float(float(text))


@pytest.mark.parametrize("name", ["price_increment", "quantity_increment", "contract_multiplier"])
@pytest.mark.parametrize("value", [D(0), D("-0.01")])
def test_an_increment_is_above_zero(name: str, value: Decimal) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        changed(name, value)


@pytest.mark.parametrize("name", ["quantity_min", "notional_min"])
def test_a_smallest_size_is_not_negative(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be negative"):
        changed(name, D(-1))


@pytest.mark.parametrize(
    "other", [{"base": "ETH"}, {"quote": "USDC"}, {"exchange": "okx"}, {"market_type": MarketType.FUTURES}]
)
def test_an_id_that_names_another_market_is_refused(other: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="does not name"):
        replace(BTC, **other)


def test_people_write_the_perpetual_with_a_suffix() -> None:
    perpetual = replace(BTC, id=InstrumentId("binance:BTCUSDT-PERP"), market_type=MarketType.FUTURES)
    assert (BTC.symbol, perpetual.symbol) == ("BTC/USDT", "BTC/USDT-PERP")
    assert instrument_id("binance", "BTC", "USDT", MarketType.FUTURES) == perpetual.id


@given(st.from_regex(r"[A-Z0-9]{1,20}", fullmatch=True), st.sampled_from(["USDT", "BTC", "EUR"]), st.booleans())
def test_a_symbol_is_read_back_as_it_was_written(base: str, quote: str, is_perpetual: bool) -> None:
    suffix, kind = ("-PERP", MarketType.FUTURES) if is_perpetual else ("", MarketType.SPOT)
    assert parse_symbol(f"{base}/{quote}{suffix}") == (base, quote, kind)


@pytest.mark.scenario("D8")
@pytest.mark.parametrize(
    "text",
    [
        "\u0412\u0422\u0421/USDT",  # Cyrillic letters that look like BTC
        "BTC/USD\u0422",
        "\uff22TC/USDT",
        "BTC\u200b/USDT",
        "BTC\u2215USDT",
        "BTC/USDT\n",
        " BTC/USDT",
        "btc/usdt",
        "BTCUSDT",
        "BTC/USDT-perp",
        "BTC/USDT-PERP-PERP",
        "BTC-PERP/USDT",
        "1\u0660/USDT",
        "/USDT",
        "BTC/",
        "",
    ],
)  # fmt: skip
def test_a_look_alike_is_refused_with_the_expected_form(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a symbol; write it as BTC/USDT"):
        parse_symbol(text)


@pytest.mark.parametrize(
    ("pair", "parts"),
    [
        ("BTCUSDT", ("BTC", "USDT")),
        ("ETHBTC", ("ETH", "BTC")),
        ("USDCUSDT", ("USDC", "USDT")),
        ("BTCFDUSD", ("BTC", "FDUSD")),
        ("BTCTUSD", ("BTC", "TUSD")),
        ("BTCUSD", ("BTC", "USD")),
        ("USDT", None),
        ("XAUXYZ", None),
        ("", None),
    ],
)
def test_a_pair_is_split_by_the_quote_coins_that_are_known(pair: str, parts: tuple[str, str] | None) -> None:
    assert split_pair(pair) == parts
