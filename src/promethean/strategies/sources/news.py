"""What the news say: how many agree, and how many there are (SPEC 7.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from promethean.domain.instants import NS_PER_S
from promethean.domain.market import Side
from promethean.domain.signals import SignalSource
from promethean.strategies.sources.answer import MAX_AGE_NS, Answer, is_fresh

ITEMS_FULL = 10  # from so many on, their number takes nothing from the confidence


class NewsItem(Struct, frozen=True):
    """One item of news about an instrument.

    score:  -1 bad for the price, 0 neutral, 1 good.
    weight: above zero, what it counts among the others.
    at_ns:  when it was published.
    """

    score: float
    weight: float
    at_ns: int

    def __post_init__(self) -> None:
        if not -1 <= self.score <= 1:
            raise ValueError(f"the score of news lies between -1 and 1, not {self.score}")
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise ValueError(f"the weight of news is above zero, not {self.weight}")


def news_answer(items: Sequence[NewsItem], now_ns: int) -> Answer | None:
    """What the news of the last hour say.

    An item speaks for the side of its score with its weight; a score of 0 speaks for none and counts among all.

    Returns: the side with more weight; its confidence is its share of all weight x min(1, items / 10).  HOLD where both
             weigh the same, None where no item is younger than an hour.
    """
    items = [item for item in items if is_fresh(item.at_ns, now_ns, MAX_AGE_NS[SignalSource.NEWS])]
    if not items:
        return None
    total = math.fsum(item.weight for item in items)
    good = math.fsum(item.weight for item in items if item.score > 0)
    bad = math.fsum(item.weight for item in items if item.score < 0)
    newest_ns = max(item.at_ns for item in items)
    age_s = (now_ns - newest_ns) / NS_PER_S
    values = {"items": float(len(items)), "good": good / total, "bad": bad / total, "age_s": age_s}
    if good == bad:
        return Answer(SignalSource.NEWS, None, 0.0, f"{len(items)} items of news weigh the same", newest_ns, values)
    side, word, weight = (Side.BUY, "good", good) if good > bad else (Side.SELL, "bad", bad)
    confidence = min(1.0, weight / total) * min(1.0, len(items) / ITEMS_FULL)
    reason = f"{weight / total:.0%} of the weight of {len(items)} items of news is {word}"
    return Answer(SignalSource.NEWS, side, confidence, reason, newest_ns, values)
