"""What is known of each venue: the capability record of RELIABILITY section 3.

A line holds until a run against the venue says otherwise; nothing here is more than its documentation and recorded
replies say, and no code asks for a venue's name but to find its record.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from promethean.domain.errors import ConfigError, unknown_name


class VenueRecord(Struct, frozen=True):
    """One venue.

    definite:     the venue's codes for a request that was refused for good, each with our word for it.  A code that is
                  not here may stand for an order that exists.
    is_there:     words of a refusal that speak of an order that exists already.
    stale_read_s: how long a lookup may still miss an order that exists.
    window:       the request parameter that bounds its validity; None where the venue has none.
    """

    definite: Mapping[str, str]
    is_there: tuple[str, ...] = ()
    stale_read_s: float = 5.0
    window: str | None = None


_BINANCE = {
    "-1013": "filter", "-1021": "too_late", "-1022": "signature", "-1100": "malformed", "-1102": "malformed",
    "-1106": "malformed", "-1111": "precision", "-1116": "unsupported_type", "-1117": "malformed",
    "-1121": "unknown_instrument", "-2010": "rejected", "-2014": "bad_key", "-2015": "not_allowed",
    "-2019": "insufficient_balance", "-2021": "would_trigger", "-2022": "reduce_only", "-4003": "filter",
    "-4014": "filter", "-4164": "min_notional",
}  # fmt: skip

VENUES: Mapping[str, VenueRecord] = MappingProxyType(
    {
        "binance": VenueRecord(MappingProxyType(_BINANCE), ("Duplicate order sent",), 5.0, "recvWindow"),
    }
)
"""By the venue's name."""


def record_of(exchange: str) -> VenueRecord:
    """The record of a venue.  Raises ConfigError for one that is not admitted to trading."""
    if exchange not in VENUES:
        raise ConfigError(unknown_name("venue for trading", exchange, VENUES))
    return VENUES[exchange]
