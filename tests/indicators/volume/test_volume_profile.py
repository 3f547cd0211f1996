"""The volume profile against hand-computed values and a plain computation in fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.volume.markets import market

from promethean.domain.candles import FloatArray
from promethean.indicators.volume.volume_profile import profile_nodes, volume_profile

seeds = st.integers(0, 2**32 - 1)


def plain_nodes(high: FloatArray, low: FloatArray, volume: FloatArray, bins: int) -> list[Fraction]:
    """Each candle's volume spread over its range, in fractions."""
    bottom, top = Fraction(float(low.min())), Fraction(float(high.max()))
    width = (top - bottom) / bins
    nodes = [Fraction(0)] * bins
    for above, below, traded in zip(high.tolist(), low.tolist(), volume.tolist(), strict=True):
        for node in range(bins):
            begin, end = bottom + node * width, bottom + (node + 1) * width
            if above == below:
                inside = begin <= Fraction(below) < end or (node == bins - 1 and Fraction(below) == top)
                nodes[node] += Fraction(traded) * inside
            else:
                overlap = max(Fraction(0), min(end, Fraction(above)) - max(begin, Fraction(below)))
                nodes[node] += Fraction(traded) * overlap / (Fraction(above) - Fraction(below))
    return nodes


def plain_area(nodes: list[float], value_area: float) -> tuple[int, int, int]:
    """Fullest, lowest and highest bin."""
    fullest = next(node for node, traded in enumerate(nodes) if traded >= max(nodes) * (1 - 1e-12))
    chosen = {fullest}
    while sum(nodes[node] for node in sorted(chosen)) < value_area * sum(nodes) * (1 - 1e-12):
        above, below = max(chosen) + 1, min(chosen) - 1
        up = below < 0 or (above < len(nodes) and nodes[above] >= nodes[below] * (1 - 1e-12))
        chosen.add(above if up else below)
    return fullest, min(chosen), max(chosen)


# -- golden -----------------------------------------------------------------------------------------------------------


def test_a_hand_computed_profile_comes_out() -> None:
    # Four bins of width 1 from 10 to 14.  The wide candle leaves 2 in each, the narrow ones 6 in [11, 12) and 3 in
    # [12, 13): 2, 8, 5, 2 of 17.  70 % are 11.9: the fullest and the one above it hold 13.
    high, low, volume = np.array([14.0, 11.8, 12.5]), np.array([10.0, 11.2, 12.5]), np.array([8.0, 6.0, 3.0])
    values = volume_profile(high, low, volume, limit=3, bins=4)
    assert np.isnan(values.poc[:2]).all()
    assert (values.poc[2], values.value_area_high[2], values.value_area_low[2]) == (11.5, 13.0, 11.0)
    nodes = profile_nodes(high, low, volume, bins=4)
    assert nodes.volumes == pytest.approx([2.0, 8.0, 5.0, 2.0], rel=1e-14)
    assert nodes.edges.tolist() == [10.0, 11.0, 12.0, 13.0, 14.0]
    assert (nodes.poc, nodes.value_area_high, nodes.value_area_low) == (11.5, 13.0, 11.0)


@pytest.mark.parametrize(
    ("value_area", "low", "high"), [(0.10, 11.0, 12.0), (0.47, 11.0, 12.0), (0.48, 11.0, 13.0), (0.77, 10.0, 13.0)]
)
def test_the_value_area_grows_by_the_fuller_neighbour_until_it_holds_its_share(
    value_area: float, low: float, high: float
) -> None:
    # 4, 8, 5, 0 of 17: the fullest holds 0.4706, with the one above it 0.7647, with the one below 1.
    prices = np.array([10.5, 11.5, 12.5, 10.0, 14.0])
    nodes = profile_nodes(prices, prices, np.array([4.0, 8.0, 5.0, 0.0, 0.0]), 4, value_area)
    assert (nodes.value_area_low, nodes.value_area_high) == (low, high)


def test_of_equal_bins_the_lowest_is_the_point_of_control_and_the_area_grows_upwards_first() -> None:
    prices = np.array([10.5, 11.5, 12.5, 10.0, 13.0])
    nodes = profile_nodes(prices, prices, np.array([4.0, 4.0, 4.0, 0.0, 0.0]), 3, 0.5)
    assert (nodes.poc, nodes.value_area_low, nodes.value_area_high) == (10.5, 10.0, 12.0)


def test_the_highest_price_belongs_to_the_last_bin() -> None:
    prices = np.array([10.0, 14.0])
    assert profile_nodes(prices, prices, np.array([1.0, 2.0]), 4).volumes.tolist() == [1.0, 0.0, 0.0, 2.0]


def test_one_price_is_its_own_profile() -> None:
    price = np.full(5, 0.1)
    values = volume_profile(price, price, np.ones(5), limit=5)
    assert (values.poc[4], values.value_area_high[4], values.value_area_low[4]) == (0.1, 0.1, 0.1)


def test_a_range_too_small_to_cut_is_one_price() -> None:
    values = volume_profile(np.array([5e-324, 1e-323]), np.array([5e-324, 5e-324]), np.ones(2), limit=2)
    assert values.poc[1] == 5e-324


# -- what is not known ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["high", "low", "volume"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_unknown_input_makes_the_windows_that_hold_it_unknown_and_no_other(column: str, bad: float) -> None:
    columns = market(3, 30)
    columns[column] = columns[column].copy()
    columns[column][12] = bad
    poc = volume_profile(columns["high"], columns["low"], columns["volume"] + 1, limit=5).poc
    assert np.flatnonzero(np.isnan(poc)).tolist() == [0, 1, 2, 3, 12, 13, 14, 15, 16]


@pytest.mark.parametrize("volume", [[], [0.0, 0.0], [1.0, math.nan]])
def test_a_profile_of_nothing_is_not_known(volume: list[float]) -> None:
    prices = np.arange(10.0, 10.0 + len(volume))
    nodes = profile_nodes(prices, prices, np.array(volume))
    assert math.isnan(nodes.poc)
    assert nodes.edges.shape == (51,)
    assert np.isnan(nodes.volumes).all()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"limit": 0}, "at least 1 candle, not 0"),
        ({"bins": 0}, "at least 1 bin, not 0"),
        ({"value_area": 0.0}, "above 0 and at most 1, not 0.0"),
        ({"value_area": 1.01}, "above 0 and at most 1, not 1.01"),
    ],
)
def test_a_parameter_outside_its_limits_is_refused(how: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        volume_profile(np.ones(3), np.ones(3), np.ones(3), **how)


# -- property ---------------------------------------------------------------------------------------------------------


@given(seeds, st.integers(1, 30), st.integers(1, 12))
def test_every_candles_volume_is_spread_over_its_range(seed: int, length: int, bins: int) -> None:
    columns = market(seed, length)
    high, low, volume = columns["high"], columns["low"], columns["volume"] + 0.01
    wide = high.max() - low.min() > 1e-9 * high.max()  # else rounding of the prices decides which bin
    nodes = profile_nodes(high, low, volume, bins).volumes
    assert nodes.sum() == pytest.approx(volume.sum(), rel=1e-12)
    if wide:
        expected = [float(node) for node in plain_nodes(high, low, volume, bins)]
        # A candle of one price that lies on an edge may fall to either side of it.
        edge_cases = np.count_nonzero(high == low)
        if edge_cases == 0:
            assert nodes.tolist() == pytest.approx(expected, rel=1e-5, abs=1e-6 * volume.sum())


@given(st.lists(st.tuples(st.integers(0, 64), st.integers(0, 16), st.integers(1, 9)), min_size=1, max_size=20))
def test_on_round_prices_the_bins_are_exact(rows: list[tuple[int, int, int]]) -> None:
    low = np.array([0.0, *(float(bottom) for bottom, _, _ in rows)])
    high = np.array([0.0, *(float(bottom + size) for bottom, size, _ in rows)])
    low, high = np.append(low, 128.0), np.append(high, 128.0)
    volume = np.array([0.0, *(float(traded) for _, _, traded in rows), 0.0])
    nodes = profile_nodes(high, low, volume, 16).volumes
    expected = [float(node) for node in plain_nodes(high, low, volume, 16)]
    assert nodes.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(seeds, st.integers(1, 40), st.integers(1, 20), st.sampled_from([0.3, 0.7, 1.0]))
def test_the_area_is_the_greedy_one_around_the_fullest_bin(seed: int, limit: int, bins: int, area: float) -> None:
    columns = market(seed, limit + 5)
    high, low, volume = columns["high"], columns["low"], columns["volume"] + 0.01
    values = volume_profile(high, low, volume, limit, bins, area)
    nodes = profile_nodes(high[-limit:], low[-limit:], volume[-limit:], bins, area)
    fullest, lowest, highest = plain_area(nodes.volumes.tolist(), area)
    width = float(high[-limit:].max() - low[-limit:].min()) / bins
    tolerance = 1e-9 * width + 1e-15 * float(high.max())
    assert values.poc[-1] == pytest.approx(nodes.edges[fullest] + width / 2, abs=tolerance)
    assert values.poc[-1] == nodes.poc
    assert values.value_area_low[-1] == pytest.approx(nodes.edges[lowest], abs=tolerance)
    assert values.value_area_high[-1] == pytest.approx(nodes.edges[highest + 1], abs=tolerance)


def test_equal_bins_are_equal_also_where_binary_fractions_make_them_a_little_different() -> None:
    # One candle spread over its range; three tenths are six of the twenty bins, from the lowest.
    for high in np.linspace(1.01, 1.99, 97).tolist():
        nodes = profile_nodes(np.array([high]), np.array([1.0]), np.array([0.7]), 20, 0.3)
        assert nodes.poc == pytest.approx(nodes.edges[0] + (high - 1) / 40, rel=1e-12)
        assert (nodes.value_area_low, nodes.value_area_high) == (nodes.edges[0], nodes.edges[6])
