"""Fair value gaps: three candles, an edge on each side, and whether the price came back."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.smart_money.builders import Ticks, columns, drawn, hlc, points, same, seeds, ticks

from promethean.indicators.smart_money.fvg import Gap, fvg, list_gaps

NAN = math.nan

# The high of candle 0 is 100, the low of candle 2 is 101: nobody traded between them but candle 1.
BULLISH = ((99, 100, 98, 99.5), (100, 102, 99.5, 101.5), (101.5, 103, 101, 102))
BEARISH = ((101, 102, 100, 100.5), (100, 100.5, 98, 98.5), (98.5, 99, 97, 98))


def test_a_bullish_gap_is_known_at_the_close_of_the_third_candle() -> None:
    found = fvg(*hlc(drawn(*BULLISH)))
    assert same(found.kind, [NAN, NAN, 1])
    assert same(found.top, [NAN, NAN, 101])
    assert same(found.bottom, [NAN, NAN, 100])
    assert same(found.bullish_top, [NAN, NAN, 101])
    assert same(found.bearish_top, [NAN, NAN, NAN])
    assert list_gaps(*hlc(drawn(*BULLISH))) == (Gap("bullish", 101.0, 100.0, 1 / 101.5, 1, 2, -1, 0.0),)
    assert list_gaps(*hlc(drawn(*BULLISH[:2]))) == ()


def test_a_bearish_gap_is_its_mirror_image() -> None:
    found = fvg(*hlc(drawn(*BEARISH)))
    assert same(found.kind, [NAN, NAN, -1])
    assert same(found.bearish_top, [NAN, NAN, 100])
    assert same(found.bearish_bottom, [NAN, NAN, 99])
    assert same(found.bullish_top, [NAN, NAN, NAN])
    assert list_gaps(*hlc(drawn(*BEARISH))) == (Gap("bearish", 100.0, 99.0, 1 / 98.5, 1, 2, -1, 0.0),)


@pytest.mark.parametrize(("low", "kind"), [(100.1 - 1e-9, 0), (100.1, 1), (100.1 + 1e-9, 1)])
def test_a_bullish_gap_is_at_least_a_thousandth_of_the_middle_close(low: float, kind: float) -> None:
    # 100.1 - 100 is below 0.1 in binary; in decimal it is the threshold itself, which counts.
    market = drawn((99, 100, 98, 99.5), (99.5, 101, 99, 100), (101, 102, low, 101))
    assert same(fvg(*hlc(market)).kind[2:], [kind])


@pytest.mark.parametrize(("high", "kind"), [(99.9 + 1e-9, 0), (99.9, -1), (99.9 - 1e-9, -1)])
def test_a_bearish_gap_is_at_least_a_thousandth_of_the_middle_close(high: float, kind: float) -> None:
    market = drawn((101, 102, 100, 100.5), (100.5, 101, 99, 100), (99, high, 98, 99))
    assert same(fvg(*hlc(market)).kind[2:], [kind])


def test_touching_candles_leave_no_gap_however_small_it_may_be() -> None:
    market = drawn((99, 100, 98, 99.5), (99.5, 101, 99, 100), (101, 102, 100, 101))
    assert same(fvg(*hlc(market), 0.0).kind[2:], [0])


@pytest.mark.parametrize(
    ("low", "share", "filled"),
    [(101.5, 0, False), (101, 0, False), (100.75, 0.25, False), (100 + 2**-40, 1 - 2**-40, False), (100, 1, True),
     (99, 1, True)],
)  # fmt: skip
def test_a_bullish_gap_is_filled_when_a_later_low_reaches_its_far_edge(low: float, share: float, filled: bool) -> None:
    market = drawn(*BULLISH, (102, 102, low, 102))
    (gap,) = list_gaps(*hlc(market))
    assert (gap.fill_share, gap.filled, gap.filled_at) == (share, filled, 3 if filled else -1)
    assert same(fvg(*hlc(market)).bullish_top[2:], [101, NAN if filled else 101])


@pytest.mark.parametrize(
    ("high", "share", "filled"), [(99, 0, False), (99.75, 0.75, False), (100, 1, True), (101, 1, True)]
)
def test_a_bearish_gap_is_filled_when_a_later_high_reaches_its_far_edge(
    high: float, share: float, filled: bool
) -> None:
    market = drawn(*BEARISH, (98, high, 98, 98))
    (gap,) = list_gaps(*hlc(market))
    assert (gap.fill_share, gap.filled, gap.filled_at) == (share, filled, 3 if filled else -1)
    assert same(fvg(*hlc(market)).bearish_bottom[2:], [99, NAN if filled else 99])


def test_the_share_filled_is_the_deepest_so_far_and_the_fill_the_first() -> None:
    deep, shallow, through = (102, 102, 100.25, 102), (102, 102, 100.75, 102), (102, 102, 99.9, 102)
    assert list_gaps(*hlc(drawn(*BULLISH, deep, shallow)))[0].fill_share == 0.75
    assert list_gaps(*hlc(drawn(*BULLISH, deep, through, through)))[0].filled_at == 4


def test_a_gap_counts_while_its_three_candles_lie_within_the_lookback() -> None:
    # With a lookback of 5 the gap of candles 0 to 2 counts until candle 4.
    market = drawn(*BULLISH, *[(102, 103, 101.5, 102)] * 4)
    found = fvg(*hlc(market), lookback=5)
    assert same(found.bullish_top[2:], [101, 101, 101, NAN, NAN])
    assert len(list_gaps(*hlc({name: column[:5] for name, column in market.items()}), lookback=5)) == 1
    assert list_gaps(*hlc(market), lookback=5) == ()


def test_the_nearest_gap_is_the_one_closest_to_the_close_and_the_newer_of_equally_near_ones() -> None:
    # Gaps 100-101 and 103-104 below the price: the upper one is nearer; filled, it leaves the lower one.
    market = drawn(
        *BULLISH, (102, 103, 101.2, 103), (103, 106, 103, 105.5), (105.5, 107, 104, 106), (106, 106, 103, 105)
    )
    found = fvg(*hlc(market))
    assert same(found.kind[2:], [1, 0, 0, 1, 0])
    assert same(found.bullish_top[2:], [101, 101, 101, 104, 101])
    assert same(found.bullish_bottom[2:], [100, 100, 100, 103, 100])
    # The close of candle 5 lies in 100-105, left by candles 0 to 2, and on the edge of 102-103, the newer one.
    inside = drawn((99, 100, 98, 99), (99, 106, 99, 106), (106, 106, 105, 105), (102, 102, 101, 101.5),
                   (101.8, 104.5, 101.8, 104), (104, 104.5, 103, 103))  # fmt: skip
    found = fvg(*hlc(inside))
    assert same(found.kind[2:], [1, 0, -1, 1])
    assert same(found.bullish_top[4:], [105, 103])
    assert same(found.bullish_bottom[4:], [100, 102])


def reference(market: Ticks, min_gap: Fraction, lookback: int, i: int) -> list[Gap]:
    """The gaps that count at the close of candle i, from the definition and in exact fractions of a tick of 0.1."""
    gaps = []
    for at in range(max(1, i - lookback + 2), i):
        above, below = market["high"][at - 1], market["low"][at + 1]
        kind = "bullish"
        if market["high"][at + 1] < market["low"][at - 1]:
            above, below, kind = market["high"][at + 1], market["low"][at - 1], "bearish"
        bottom, top = above, below
        if top <= bottom or Fraction(top - bottom) < min_gap * market["close"][at]:
            continue
        later = range(at + 2, i + 1)
        if kind == "bullish":
            fills = [Fraction(top - market["low"][k], top - bottom) for k in later]
        else:
            fills = [Fraction(market["high"][k] - bottom, top - bottom) for k in later]
        filled_at = next((k for k, fill in zip(later, fills, strict=True) if fill >= 1), -1)
        share = min(Fraction(1), max([Fraction(0), *fills]))
        size = (top - bottom) / market["close"][at]
        gaps.append(
            Gap(
                "bullish" if kind == "bullish" else "bearish",
                top / 10,
                bottom / 10,
                size,
                at,
                at + 1,
                filled_at,
                float(share),
            )
        )
    return gaps


@given(seeds, st.integers(0, 60), st.sampled_from(["0", "0.001", "0.002", "0.01"]), st.integers(3, 30))
def test_it_is_the_definition(seed: int, length: int, min_gap: str, lookback: int) -> None:
    market = ticks(seed, length)
    prices = columns(market)
    found = fvg(*hlc(prices), float(min_gap), lookback)
    expected: list[Gap] = []
    for i in range(length):
        expected = reference(market, Fraction(min_gap), lookback, i)
        new = [gap for gap in expected if gap.known_at == i]
        told = (float(new[0].kind == "bullish") - float(new[0].kind == "bearish")) if new else NAN if i < 2 else 0.0
        assert same(
            np.array([found.kind[i], found.top[i], found.bottom[i]]),
            [told, *((new[0].top, new[0].bottom) if new else (NAN, NAN))],
        )
        for kind, top, bottom in (
            ("bullish", found.bullish_top, found.bullish_bottom),
            ("bearish", found.bearish_top, found.bearish_bottom),
        ):
            unfilled = [gap for gap in expected if gap.kind == kind and not gap.filled]
            nearest = min(
                unfilled,
                key=lambda gap: (max(0, prices["close"][i] - gap.top, gap.bottom - prices["close"][i]), -gap.at),
                default=None,
            )
            edges = [nearest.top, nearest.bottom] if nearest else [NAN, NAN]
            assert same(np.array([top[i], bottom[i]]), edges)
    listed = list_gaps(*hlc(prices), float(min_gap), lookback)
    assert [(gap.kind, gap.top, gap.bottom, gap.at, gap.known_at, gap.filled_at) for gap in listed] == [
        (gap.kind, gap.top, gap.bottom, gap.at, gap.known_at, gap.filled_at) for gap in expected
    ]
    assert [gap.fill_share for gap in listed] == pytest.approx([gap.fill_share for gap in expected])
    assert [gap.size for gap in listed] == pytest.approx([gap.size for gap in expected])


def test_a_path_of_single_prices_leaves_a_gap_at_every_step_that_is_large_enough() -> None:
    assert same(fvg(*hlc(points(100, 101, 102, 101, 100)), 0.001).kind, [NAN, NAN, 1, 0, -1])
