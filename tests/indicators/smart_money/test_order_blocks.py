"""Order blocks: the last opposite candle before a move that closes beyond it."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.smart_money.builders import Columns, Ticks, columns, drawn, same, seeds, ticks

from promethean.domain.candles import FloatArray
from promethean.indicators.smart_money.order_blocks import (
    OrderBlock,
    OrderBlocks,
    blocks_in,
    list_blocks,
    order_blocks,
    order_blocks_resume,
)

NAN = math.nan
Candle = tuple[float, float, float, float]

QUIET: Candle = (100, 100, 100, 100)
DOWN: Candle = (100.5, 100.75, 99.25, 100)  # its middle is 100
UP: Candle = (100, 101.75, 100, 101.5)  # closes 1.5 % above 100 and beyond 100.75
ABOVE: Candle = (101.5, 101.75, 101, 101.5)


def after_quiet(*candles: Candle, volume: float = 20) -> Columns:
    """The candles after twenty quiet ones of volume 10; the first of them, candle 20, has its own volume."""
    return drawn(*[QUIET] * 20, *candles, volume=[10.0] * 20 + [volume] + [10.0] * (len(candles) - 1))


def upside_down(market: Columns) -> Columns:
    """Prices mirrored at 100: shares of 100 stay what they are."""
    turned = {**market, **{name: 200 - market[name] for name in ("open", "high", "low", "close")}}
    return {**turned, "high": turned["low"], "low": turned["high"]}


def arrays(market: Columns, move: float = 0.01, bars: int = 3) -> OrderBlocks:
    return order_blocks(*inputs(market), move, bars)


def inputs(market: Columns) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    return market["open"], market["high"], market["low"], market["close"], market["volume"]


def listed(market: Columns, move: float = 0.01, bars: int = 3) -> tuple[OrderBlock, ...]:
    return list_blocks(*inputs(market), move, bars)


def test_a_falling_candle_before_a_rise_of_one_percent_is_a_bullish_block() -> None:
    # Strength: 1.5 % is 1.5 moves, the volume of 20 twice the mean of 10 before it.
    market = after_quiet(DOWN, UP)
    (block,) = listed(market)
    assert dataclasses.replace(block, strength=3.0) == OrderBlock("bullish", 100.75, 99.25, 3.0, 0.015, 20, 21, -1, -1)
    assert block.strength == pytest.approx(3.0, rel=1e-12)
    found = arrays(market)
    assert same(found.kind, [NAN] + [0] * 20 + [1])
    assert same(found.bullish_top[20:], [NAN, 100.75])
    assert same(found.bullish_bottom[20:], [NAN, 99.25])
    assert same(found.bullish_strength[20:], [NAN, block.strength])
    assert np.isnan(found.bearish_top).all()


def test_a_rising_candle_before_a_fall_is_a_bearish_block() -> None:
    market = upside_down(after_quiet(DOWN, UP))
    (block,) = listed(market)
    assert (block.kind, block.top, block.bottom, block.at, block.known_at) == ("bearish", 100.75, 99.25, 20, 21)
    assert block.strength == pytest.approx(3.0, rel=1e-12)
    found = arrays(market)
    assert same(found.kind[20:], [0, -1])
    assert same(found.bearish_bottom[20:], [NAN, 99.25])
    assert np.isnan(found.bullish_top).all()


@pytest.mark.parametrize(("close", "known"), [(101 - 1e-9, False), (101, True), (101 + 1e-9, True)])
def test_the_move_is_at_least_one_percent_from_close_to_close(close: float, known: bool) -> None:
    assert bool(listed(after_quiet(DOWN, (100, 102, 100, close)))) == known


@pytest.mark.parametrize(("close", "known"), [(50.75, False), (50.75 + 1e-9, True)])
def test_the_move_closes_beyond_the_extreme_of_the_block(close: float, known: bool) -> None:
    # 50.75 is 1.5 % above 50, and the high of the block itself.
    assert bool(listed(drawn((50.5, 50.75, 49, 50), (50, 52, 50, close)))) == known


def test_the_move_may_take_three_candles_and_not_four() -> None:
    slow: Candle = (100, 100.5, 100, 100.5)
    assert [block.known_at for block in listed(after_quiet(DOWN, slow, slow, UP))] == [23]
    assert listed(after_quiet(DOWN, slow, slow, slow, UP)) == ()
    assert [block.known_at for block in listed(after_quiet(DOWN, slow, slow, slow, UP), bars=4)] == [24]
    assert [block.known_at for block in listed(after_quiet(DOWN, UP), bars=1)] == [21]
    assert listed(after_quiet(DOWN, slow, UP), bars=1) == ()


def test_the_block_is_the_last_opposite_candle_and_a_candle_without_a_body_is_not_opposite() -> None:
    assert [block.at for block in listed(after_quiet(DOWN, DOWN, UP))] == [21]
    assert [block.at for block in listed(after_quiet(DOWN, QUIET, UP))] == [20]


def test_a_block_becomes_known_once() -> None:
    assert [block.known_at for block in listed(after_quiet(DOWN, UP, ABOVE, ABOVE))] == [21]
    assert same(arrays(after_quiet(DOWN, UP, ABOVE, ABOVE)).kind[20:], [0, 1, 0, 0])


@pytest.mark.parametrize(("low", "mitigated"), [(100 + 1e-9, False), (100, True), (99, True)])
def test_a_block_is_mitigated_when_half_of_it_is_revisited(low: float, mitigated: bool) -> None:
    market = after_quiet(DOWN, UP, ABOVE, (101.5, 101.5, low, 101.5))
    (block,) = listed(market)
    assert (block.mitigated, block.mitigated_at, block.broken_at) == (mitigated, 23 if mitigated else -1, -1)
    assert same(arrays(market).bullish_top[22:], [100.75, NAN if mitigated else 100.75])
    (mirror,) = listed(upside_down(market))
    assert (mirror.mitigated_at, mirror.broken_at) == (block.mitigated_at, -1)


def test_what_the_move_itself_revisits_does_not_count() -> None:
    assert listed(after_quiet(DOWN, (100, 101.75, 98, 101.5)))[0].mitigated_at == -1


@pytest.mark.parametrize(("close", "broken"), [(99.25, False), (99.25 - 1e-9, True)])
def test_a_block_is_broken_when_a_candle_closes_through_it(close: float, broken: bool) -> None:
    market = after_quiet(DOWN, UP, ABOVE, (101.5, 101.5, 98, close), (99.5, 101, 99.5, 101))
    assert [(block.broken, block.broken_at, block.mitigated_at) for block in listed(market) if block.at == 20] == [
        (broken, 23 if broken else -1, 23)
    ]
    mirror = [block for block in listed(upside_down(market)) if block.at == 20]
    assert [block.broken_at for block in mirror] == [23 if broken else -1]


def test_strength_is_cut_to_ten() -> None:
    assert listed(after_quiet(DOWN, UP, volume=1000))[0].strength == 10.0
    assert listed(after_quiet(DOWN, UP, volume=0))[0].strength == 0.0


def test_strength_is_not_known_without_twenty_candles_of_volume_before_the_block() -> None:
    market = after_quiet(DOWN, UP)
    later = {name: column[1:] for name, column in market.items()}
    still = {**market, "volume": np.append(np.zeros(20), [20.0, 10.0])}
    unknown = {**market, "volume": np.full(22, np.nan)}
    for each in (later, still, unknown):
        (block,) = listed(each)
        assert math.isnan(block.strength)
        assert arrays(each).bullish_top[-1] == 100.75


def test_the_nearest_block_is_the_one_closest_to_the_close() -> None:
    second: tuple[Candle, Candle] = ((103, 103.25, 102, 102.5), (102.5, 104, 102.5, 103.75))
    market = after_quiet(DOWN, UP, *second, (103.5, 103.5, 102.5, 103.5))
    # The second block, 102 to 103.25, is nearer until candle 24 reaches its middle of 102.625.
    assert same(arrays(market).bullish_top[21:], [100.75, 100.75, 103.25, 100.75])


def test_an_older_block_is_the_nearest_when_the_newer_one_lies_inside_it() -> None:
    # Candle 22, from 100.1 to 100.6, stays in the upper half of the first block, and is the second.
    market = after_quiet(DOWN, UP, (100.55, 100.6, 100.1, 100.3), (100.3, 102, 100.3, 101.9))
    assert [(block.at, block.mitigated) for block in listed(market)] == [(20, False), (22, False)]
    assert same(arrays(market).bullish_top[-1:], [100.75])
    assert same(arrays(upside_down(market)).bearish_bottom[-1:], [99.25])


def test_the_latest_64_blocks_of_each_side_are_remembered() -> None:
    market = drawn(*[DOWN, UP] * 70, *[(105, 106, 105, 105.5)])
    blocks = [block for block in listed(market) if block.kind == "bullish"]
    assert [block.at for block in blocks] == list(range(12, 140, 2))


def test_a_state_remembers_what_the_list_shows() -> None:
    market = columns(ticks(7, 300))
    _, state = order_blocks_resume(*inputs({name: column[:120] for name, column in market.items()}))
    _, state = order_blocks_resume(*inputs({name: column[120:] for name, column in market.items()}), state)
    assert repr(blocks_in(state)) == repr(listed(market))  # NaN strengths included


def reference(market: Ticks, move: Fraction, bars: int) -> list[OrderBlock]:
    """All blocks, from the definition, in exact fractions of a tick of 0.1."""
    o, h, l, c, v = (market[name] for name in ("open", "high", "low", "close", "volume"))  # noqa: E741
    kinds: list[tuple[int, Literal["bullish", "bearish"]]] = [(1, "bullish"), (-1, "bearish")]
    blocks = []
    for known_at in range(len(c)):
        for side, kind in kinds:
            far = {1: h, -1: l}[side]

            def left(at: int, k: int, side: int = side, far: list[int] = far) -> bool:
                return side * (c[k] - far[at]) > 0 and side * (c[k] - c[at]) >= move * c[at]

            for at in range(max(0, known_at - bars), known_at):
                last = side * (c[at] - o[at]) < 0 and all(
                    side * (c[k] - o[k]) >= 0 for k in range(at + 1, known_at + 1)
                )
                if not last or not left(at, known_at) or any(left(at, k) for k in range(at + 1, known_at)):
                    continue
                before = v[max(0, at - 20) : at]
                share = Fraction(side * (c[known_at] - c[at]), c[at])
                known_volume = len(before) == 20 and sum(before) > 0
                strength = min(10.0, float(share * 100 * v[at] * 20 / sum(before))) if known_volume else NAN
                later = range(known_at + 1, len(c))
                half = [k for k in later if side * (2 * (l if side > 0 else h)[k] - h[at] - l[at]) <= 0]
                through = [k for k in later if side * (c[k] - (l if side > 0 else h)[at]) < 0]
                blocks.append(
                    OrderBlock(
                        kind, h[at] / 10, l[at] / 10, strength, float(share), at, known_at,
                        half[0] if half else -1, through[0] if through else -1,
                    )
                )  # fmt: skip
    return blocks


@given(seeds, st.integers(0, 90), st.sampled_from(["0.001", "0.005", "0.01"]), st.integers(1, 4))
def test_it_is_the_definition(seed: int, length: int, move: str, bars: int) -> None:
    market = ticks(seed, length)
    prices = columns(market)
    expected = reference(market, Fraction(move), bars)
    blocks = listed(prices, float(move), bars)

    def but_strength(block: OrderBlock) -> OrderBlock:
        return dataclasses.replace(block, strength=0.0, move=0.0)

    assert [but_strength(block) for block in blocks] == [but_strength(block) for block in expected]
    for field in ("strength", "move"):
        numbers, wanted = ([getattr(block, field) for block in each] for each in (blocks, expected))
        assert numbers == pytest.approx(wanted, nan_ok=True)
    found = arrays(prices, float(move), bars)
    for i in range(length):
        new = [block.kind for block in expected if block.known_at == i]
        assert len(new) <= 1
        assert same(found.kind[i : i + 1], [{"bullish": 1, "bearish": -1}[new[0]] if new else 0 if i else NAN])
        close = prices["close"][i]
        for kind, top, bottom in (
            ("bullish", found.bullish_top, found.bullish_bottom),
            ("bearish", found.bearish_top, found.bearish_bottom),
        ):
            fresh = [
                block
                for block in expected
                if block.kind == kind and block.known_at <= i and not (0 <= block.mitigated_at <= i)
            ]
            nearest = min(
                fresh,
                key=lambda block: (max(0, close - block.top, block.bottom - close), -block.known_at),
                default=None,
            )
            assert same(
                np.array([top[i], bottom[i]]), [nearest.top, nearest.bottom] if nearest is not None else [NAN, NAN]
            )
