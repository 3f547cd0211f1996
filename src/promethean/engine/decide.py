"""From signals to one decision per instrument and candle (SPEC 7.2)."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Context, Decimal, localcontext
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from promethean.domain.errors import ConfigError, unknown_name
from promethean.domain.market import Side
from promethean.domain.signals import Signal, SignalSource, SignalType
from promethean.strategies.sources.answer import Answer, is_fresh


class Vote(Struct, frozen=True):
    """What one source says.  side: None is HOLD.  fresh: False leaves the source out."""

    source: str
    side: Side | None
    confidence: float
    weight: float = 1.0
    fresh: bool = True


class Outcome(Struct, frozen=True):
    """What the sources together say.  side: None is HOLD; reason says why for people."""

    side: Side | None
    confidence: float
    reason: str
    left_out: tuple[str, ...] = ()


class Aggregation(enum.StrEnum):
    """How several sources become one view."""

    VOTING = "voting"
    WEIGHTED = "weighted"
    UNANIMOUS = "unanimous"
    THRESHOLD = "threshold"


# Room for the products of any two float64 as people write them, so that nothing is cut before it is compared.
EXACT = Context(prec=80)


def as_written(number: float) -> Decimal:
    """0.7 is seven tenths: three of them have a mean of 0.7, in any order and with every version of Python."""
    return Decimal(repr(float(number)))


def _total(numbers: Iterable[Decimal]) -> Decimal:
    return sum(numbers, Decimal(0))


def _hold(reason: str) -> Outcome:
    return Outcome(None, 0.0, reason)


def _reached(side: Side, confidence: Decimal, threshold: float, reason: str) -> Outcome:
    if confidence >= as_written(threshold):
        return Outcome(side, float(confidence), reason)
    return _hold(f"{side} at {confidence:.3f} is below the threshold of {threshold:g}")


def _voting(votes: Sequence[Vote], threshold: float) -> Outcome:
    for side in Side:
        winners = [as_written(vote.confidence) for vote in votes if vote.side is side]
        if 2 * len(winners) > len(votes):
            mean = _total(winners) / len(winners)
            return _reached(side, mean, threshold, f"{len(winners)} of {len(votes)} sources say {side}")
    return _hold("no side has more than half of the answering sources")


def _weighted(votes: Sequence[Vote], threshold: float) -> Outcome:
    total = _total(as_written(vote.weight) for vote in votes)
    buy, sell = (
        _total(as_written(vote.weight) * as_written(vote.confidence) for vote in votes if vote.side is side) / total
        for side in (Side.BUY, Side.SELL)
    )
    if buy == sell:
        return _hold("both sides weigh the same")
    side, score = (Side.BUY, buy) if buy > sell else (Side.SELL, sell)
    return _reached(side, score, threshold, f"weighted score of {side} is {score:.3f}")


def _unanimous(votes: Sequence[Vote], threshold: float) -> Outcome:
    sides = {vote.side for vote in votes}
    side = votes[0].side
    if len(votes) < 2 or len(sides) > 1 or side is None:
        return _hold("fewer than two sources answered, or they disagree")
    least = as_written(min(vote.confidence for vote in votes))
    return _reached(side, least, threshold, f"all {len(votes)} sources say {side}")


def _threshold(votes: Sequence[Vote], threshold: float) -> Outcome:
    strong = [vote for vote in votes if vote.side is not None and vote.confidence >= threshold]
    sides = {vote.side for vote in strong}
    if len(sides) != 1:
        return _hold("no source reaches the threshold" if not sides else "both sides reach the threshold")
    best = max(strong, key=lambda vote: vote.confidence)
    return Outcome(best.side, best.confidence, f"{best.source} says {best.side} at {best.confidence:.3f}")


AGGREGATORS: Mapping[Aggregation, Callable[[Sequence[Vote], float], Outcome]] = MappingProxyType(
    {
        Aggregation.VOTING: _voting,
        Aggregation.WEIGHTED: _weighted,
        Aggregation.UNANIMOUS: _unanimous,
        Aggregation.THRESHOLD: _threshold,
    }
)


def aggregate(votes: Sequence[Vote], mode: Aggregation, threshold: float) -> Outcome:
    """One view from the votes of all configured sources.

    votes:     one for each configured source; a stale or silent one has fresh=False.
    threshold: 0.0-1.0; comparisons are >=.
    """
    answering = [vote for vote in votes if vote.fresh]
    left_out = tuple(vote.source for vote in votes if not vote.fresh)
    with localcontext(EXACT):
        configured = _total(as_written(vote.weight) for vote in votes)
        weight = _total(as_written(vote.weight) for vote in answering)
        if weight <= 0 or 2 * weight < configured:
            return Outcome(None, 0.0, "insufficient_sources", left_out)
        outcome = AGGREGATORS[mode](answering, threshold)
    return Outcome(outcome.side, outcome.confidence, outcome.reason, left_out)


def parse_aggregation(name: str) -> Aggregation:
    """The aggregation of that name.  Raises ConfigError naming the closest."""
    try:
        return Aggregation(name)
    except ValueError:
        raise ConfigError(unknown_name("aggregation", name, [mode.value for mode in Aggregation])) from None


class Decision(Struct, frozen=True):
    """What to do about one instrument.  close_percentage: share of the original size, with PARTIAL_CLOSE."""

    type: SignalType
    confidence: float
    signal: Signal
    close_percentage: float | None = None


class Configured(Struct, frozen=True):
    """A source that a decision counts on.

    weight:     above zero.
    max_age_ns: how old its answer may be.
    """

    source: SignalSource
    weight: float
    max_age_ns: int


class Panel(Struct, frozen=True):
    """Everybody who is asked for one decision.

    configured: each source once.
    answers:    what they last said beside the strategy's own signals; of a source the newest counts.
    now_ns:     instant of the decision.
    Raises ConfigError for a source that is there twice, and for a weight that is not above zero.
    """

    configured: tuple[Configured, ...]
    answers: tuple[Answer, ...]
    now_ns: int

    def __post_init__(self) -> None:
        names = [each.source for each in self.configured]
        for each in self.configured:
            if names.count(each.source) > 1:
                raise ConfigError(f"the source {each.source} is configured twice; keep one")
            if not 0 < each.weight < math.inf:
                raise ConfigError(f"the weight of {each.source} is {each.weight:g}; it is above zero")


_SIDES = {SignalType.BUY: Side.BUY, SignalType.SELL: Side.SELL}


def decide(
    signals: Sequence[Signal], mode: Aggregation, threshold: float, panel: Panel | None = None
) -> Decision | None:
    """One decision from the signals of one strategy at one candle; None is HOLD.

    CLOSE beats PARTIAL_CLOSE beats entries, and neither waits for agreement; of several partials the largest counts.

    panel: the sources that entries are counted with.  An entry then needs a signal of the strategy on the winning side:
           the other sources confirm or prevent it.  None: the signals are all there is.
    """
    if len(signals) == 1 and panel is None:
        return _alone(signals[0], mode, threshold)
    closes = [signal for signal in signals if signal.type is SignalType.CLOSE]
    if closes:
        best = max(closes, key=lambda signal: signal.confidence)
        return Decision(SignalType.CLOSE, best.confidence, best)
    partials = [
        (signal.close_percentage or 0.0, signal) for signal in signals if signal.type is SignalType.PARTIAL_CLOSE
    ]
    if partials:
        share, best = max(partials, key=lambda pair: pair[0])
        return Decision(SignalType.PARTIAL_CLOSE, best.confidence, best, share)
    entries = [signal for signal in signals if signal.type in _SIDES]
    if not entries:
        return None
    if panel is None:
        votes = [Vote(s.source, _SIDES[s.type], s.confidence) for s in entries]
    else:
        votes = votes_of(panel, signals)
    outcome = aggregate(votes, mode, threshold)
    winners = [signal for signal in entries if _SIDES[signal.type] is outcome.side]
    if not winners:
        return None
    best = max(winners, key=lambda signal: signal.confidence)
    if panel is not None:
        best = replace(best, metadata={**best.metadata, **told(votes, outcome, mode)})
    return Decision(best.type, outcome.confidence, best)


def votes_of(panel: Panel, signals: Sequence[Signal] = ()) -> list[Vote]:
    """One vote for each configured source, in their order: its newest answer.

    Of equally new ones the surest counts, and HOLD where they are of two minds.  An entry among the signals is an
    answer of its source.  A source without an answer, or with one that is too old or of the future, is not fresh; an
    answer of a source that is not configured does not count.
    """
    said = [(answer.source, answer.at_ns, answer.side, answer.confidence) for answer in panel.answers]
    said += [(s.source, s.at_ns, _SIDES[s.type], s.confidence) for s in signals if s.type in _SIDES]
    votes = []
    for each in panel.configured:
        own = [answer for answer in said if answer[0] is each.source and answer[1] <= panel.now_ns]
        if not own:
            votes.append(Vote(each.source, None, 0.0, each.weight, fresh=False))
            continue
        at_ns = max(answer[1] for answer in own)
        newest = [answer for answer in own if answer[1] == at_ns]
        agrees = len({side for _, _, side, _ in newest}) == 1
        side, confidence = (newest[0][2], max(answer[3] for answer in newest)) if agrees else (None, 0.0)
        votes.append(Vote(each.source, side, confidence, each.weight, is_fresh(at_ns, panel.now_ns, each.max_age_ns)))
    return votes


def told(votes: Sequence[Vote], outcome: Outcome, mode: Aggregation) -> dict[str, str]:
    """What a signal carries after aggregation, as text: who answered what with which weight, and who did not.

    Weights are those used: renormalised over the sources that answered.
    """
    answering = [vote for vote in votes if vote.fresh]
    total = sum(vote.weight for vote in answering)
    return {
        "sources": ", ".join(vote.source for vote in answering),
        "individual_confidences": ", ".join(
            f"{vote.source} {vote.side.value if vote.side is not None else 'hold'} {vote.confidence:.6g}"
            for vote in answering
        ),
        "aggregation_mode": mode.value,
        "weights": ", ".join(f"{vote.source} {vote.weight / total:.6g}" for vote in answering),
        "left_out": ", ".join(outcome.left_out),
    }


def _alone(signal: Signal, mode: Aggregation, threshold: float) -> Decision | None:
    """One signal among none: what the aggregation makes of a single vote, without the arithmetic."""
    if signal.type not in _SIDES:
        return Decision(signal.type, signal.confidence, signal, signal.close_percentage)
    if mode is Aggregation.UNANIMOUS or signal.confidence < threshold:
        return None
    return Decision(signal.type, signal.confidence, signal)
