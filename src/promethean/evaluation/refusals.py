"""Why entries were refused, in a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping

_WORDS = {
    "cooldown": "a cooldown after a stop",
    "too_small": "too small for the market's filters; raise the size",
    "lot_size": "too small for the market's lots; raise the size",
    "min_notional": "below the market's smallest notional; raise the size",
    "stop_required": "a stop on the wrong side of the price",
    "insufficient_balance": "not enough cash for size and fees; lower the size, or raise --cash where it is fixed",
    "leverage_max": "more leverage than risk.leverage_max allows; lower market.leverage",
    "liquidation_distance": "a stop too near to the liquidation (risk.liquidation_distance_pct); bring it closer",
    "order_notional": "a size outside risk.order_notional_min and _max; change the size or the limits",
    "total_exposure": "more exposure than risk.total_exposure and its share of equity allow",
    "open_positions": "as many positions as risk.open_positions allows",
    "circuit_breaker": "the circuit breaker of the day",
    "daily_trades": "the trades of the day were used up",
}


def refusal_words(refusals: Mapping[str, int]) -> str | None:
    """How often and why, the most frequent reason first; None where none was refused.

    refusals: by the code of the control or of the venue.
    """
    total = sum(refusals.values())
    if not total:
        return None
    reasons = sorted(refusals.items(), key=lambda reason: -reason[1])
    told = "; ".join(f"{_WORDS.get(code, code.replace('_', ' '))} ({count:,})" for code, count in reasons if count)
    return f"{'An entry was' if total == 1 else 'Entries were'} refused {_times(total)}: {told}."


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
