"""Volume by price: where most of it traded."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import indicator


class VolumeProfile(NamedTuple):
    """Prices, quote units per base unit.

    poc:                             middle of the fullest bin, the point of control.
    value_area_high, value_area_low: borders of the bins around it that hold the share `value_area` of the volume.
    """

    poc: FloatArray
    value_area_high: FloatArray
    value_area_low: FloatArray


class ProfileNodes(NamedTuple):
    """One profile with all its bins.

    edges:   float64, shape (bins + 1,), rising, quote units per base unit.
    volumes: float64, shape (bins,), base units.
    The other fields are single prices, as in VolumeProfile.
    """

    edges: FloatArray
    volumes: FloatArray
    poc: float
    value_area_high: float
    value_area_low: float


def volume_profile_window(limit: int = 200) -> int:
    """Trailing candles that decide the last value: those of the profile and no other."""
    return limit


@indicator("volume_profile", window=volume_profile_window)
def volume_profile(
    high: FloatArray,
    low: FloatArray,
    volume: FloatArray,
    limit: int = 200,
    bins: int = 50,
    value_area: float = 0.70,
) -> VolumeProfile:
    """Volume profile of the trailing candles: point of control and value area.

    An approximation: the volume of a candle is spread evenly from its low to its high.  The range of the window is cut
    into equal bins.  The value area grows from the fullest bin (the lowest of equals), always by the fuller of its two
    neighbours (the upper of equals).

    high, low:  float64, shape (n,), oldest first, quote units per base unit.
    volume:     float64, shape (n,), base units; a NaN makes the windows that hold it unknown.
    limit:      candles in the profile, at least 1.
    bins:       at least 1.
    value_area: share of the volume, above 0 and at most 1.
    Returns:    poc, value_area_high, value_area_low, each float64 of shape (n,); the first `limit` - 1 are NaN, and so
                are those of a window without volume.
    Raises:     ValueError for a parameter outside its limits.
    Source:     Steidlmayer, Koy (1986), Markets and Market Logic; the 70 % stand for one standard deviation.
    """
    _check(limit, bins, value_area)
    from promethean.indicators.volume import _kernels as kernels

    return VolumeProfile(*kernels.profiles(high, low, volume, limit, bins, value_area))


def profile_nodes(
    high: FloatArray, low: FloatArray, volume: FloatArray, bins: int = 50, value_area: float = 0.70
) -> ProfileNodes:
    """The profile of all that is given, with its bins; the last of `volume_profile` over as many candles.

    From single trades it is exact: give their price as high and as low, and their quantity as volume.

    high, low, volume, bins, value_area: as for `volume_profile`.
    Returns: NaN prices when nothing is given, nothing traded, or an input is NaN.
    Raises:  ValueError for a parameter outside its limits.
    """
    _check(len(high) or 1, bins, value_area)
    from promethean.indicators.volume import _kernels as kernels

    nodes = np.zeros(bins)
    bottom, top, total = np.nan, np.nan, np.nan
    if len(high):
        bottom, top, total = kernels.fill_nodes(high, low, volume, 0, len(high), nodes)
    if not total > 0:
        return ProfileNodes(np.full(bins + 1, np.nan), np.full(bins, np.nan), np.nan, np.nan, np.nan)
    fullest, lowest, highest = kernels.value_nodes(nodes, value_area)
    width = (top - bottom) / bins
    edges: FloatArray = bottom + np.arange(bins + 1, dtype=np.float64) * width
    poc = bottom + (fullest + 0.5) * width
    return ProfileNodes(edges, nodes, float(poc), float(edges[highest + 1]), float(edges[lowest]))


def _check(limit: int, bins: int, value_area: float) -> None:
    if limit < 1:
        raise ValueError(f"a volume profile needs at least 1 candle, not {limit}")
    if bins < 1:
        raise ValueError(f"a volume profile needs at least 1 bin, not {bins}")
    if not 0 < value_area <= 1:
        raise ValueError(f"the value area is a share above 0 and at most 1, not {value_area}")
