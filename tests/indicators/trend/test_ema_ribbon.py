"""The EMA ribbon: its averages, their order and their spread."""

from __future__ import annotations

import numpy as np
import pytest
from tests.indicators.trend.promises import market

from promethean.indicators.trend.ema import ema
from promethean.indicators.trend.ema_ribbon import ema_ribbon


def test_it_holds_the_averages_and_how_far_the_fastest_is_from_the_slowest() -> None:
    close = market(4, 900, restless=True)["close"]
    ribbon = ema_ribbon(close)
    for values, period in zip((ribbon.fast, ribbon.medium, ribbon.slow, ribbon.base), (9, 21, 55, 200), strict=True):
        assert np.array_equal(values, ema(close, period), equal_nan=True)
    np.testing.assert_allclose(ribbon.spread, (ribbon.fast - ribbon.base) / ribbon.base, rtol=1e-9, atol=1e-15)


def test_a_rising_price_has_the_fast_averages_above_and_a_falling_one_below() -> None:
    rising = np.linspace(100.0, 300.0, 400)
    assert (ema_ribbon(rising).alignment[199:] == 1).all()
    assert (ema_ribbon(rising[::-1].copy()).alignment[199:] == -1).all()
    assert np.isnan(ema_ribbon(rising).alignment[:199]).all()


def test_averages_out_of_order_are_neither() -> None:
    turned = np.concatenate([np.linspace(100.0, 300.0, 400), np.linspace(300.0, 250.0, 30)])
    ribbon = ema_ribbon(turned)
    assert ribbon.fast[-1] < ribbon.medium[-1]
    assert ribbon.slow[-1] > ribbon.base[-1]
    assert ribbon.alignment[-1] == 0


def test_every_neighbour_counts() -> None:
    close = market(9, 5000, restless=True)["close"]
    ribbon = ema_ribbon(close, 2, 3, 5, 8)
    lines = np.array([ribbon.fast, ribbon.medium, ribbon.slow, ribbon.base])[:, 7:]
    steps = np.sign(-np.diff(lines, axis=0))
    expected = np.where((steps == 1).all(axis=0), 1, np.where((steps == -1).all(axis=0), -1, 0))
    assert np.array_equal(ribbon.alignment[7:], expected)
    assert set(expected) == {-1, 0, 1}


def test_a_price_that_stands_still_after_a_rise_ends_without_an_order() -> None:
    stopped = np.concatenate([np.linspace(0.1, 0.3, 400), np.full(8000, 0.3)])
    ribbon = ema_ribbon(stopped)
    assert ribbon.alignment[399] == 1
    assert ribbon.alignment[-1] == 0


@pytest.mark.parametrize("periods", [(0, 21, 55, 200), (9, 9, 55, 200), (9, 21, 200, 55)])
def test_periods_that_do_not_rise_are_refused(periods: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match=f"rise from at least 1, unlike {', '.join(map(str, periods))}"):
        ema_ribbon(np.arange(10.0), *periods)
