"""What the checks of a strategy come to: passed, failed or not judged, each in one sentence with its values."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from msgspec import Struct

from promethean.domain.candles import KEPT
from promethean.domain.instants import format_instant
from promethean.evaluation.causality import Causality
from promethean.evaluation.random_entries import RandomEntries
from promethean.evaluation.resampling import MonteCarlo
from promethean.evaluation.significance import Deflated
from promethean.evaluation.windows import Window, consistency

TRADES_MIN, DAYS_MIN, WINDOWS_MIN = 30, 30, 2
"""Below so many trades, days of returns, or windows with a trade, chance decides."""
RUIN_MOST, CHANCE_MOST, SHARPE_LEAST = 0.05, 0.05, 0.95
SAMPLE = "chance decides below"


class Verdict(enum.StrEnum):
    """What a check came to."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_JUDGED = "not judged"


class Judgement(Struct, frozen=True):
    """One check.  sentence: why, with the values, without a full stop."""

    name: str
    verdict: Verdict
    sentence: str


def judge_look_ahead(found: Causality, candles: int) -> Judgement:
    """Does it know candles that come later?"""
    name, differs = "look_ahead", found.look_ahead
    if differs is None:
        sentence = f"{found.histories:,} truncated histories gave the same answers as all {candles:,} candles"
        return Judgement(name, Verdict.PASSED, sentence)
    why = "it looks ahead" if differs.answered else "it has to answer, if only with nothing, over any number of candles"
    sentence = (
        f"at candle {differs.at + 1:,}, which closed {format_instant(differs.known_at_ns)}, it says {differs.expected} "
        f"over all {candles:,} candles, but {differs.found} over the first {differs.candles:,}: {why}"
    )
    return Judgement(name, Verdict.FAILED, sentence)


def judge_warm_up(found: Causality, window: int, candles: int) -> Judgement:
    """Does its declared window decide what it says?"""
    name, differs = "warm_up", found.warm_up
    if differs is not None:
        sentence = (
            f"at candle {differs.at + 1:,}, which closed {format_instant(differs.known_at_ns)}, it says "
            f"{differs.expected} over all candles before, but {differs.found} over the last {window:,}, the window it "
            "declares: live trading would differ"
        )
        return Judgement(name, Verdict.FAILED, sentence)
    if not found.windows:
        sentence = f"the data has {candles:,} candles, no more than the window of {window:,} that it declares"
        return Judgement(name, Verdict.NOT_JUDGED, sentence)
    sentence = f"the last {window:,} candles gave the same answer as all candles before, at {found.windows:,} candles"
    if window > KEPT:
        sentence += f"; a live feed keeps {KEPT:,}, so that it cannot trade live"
    return Judgement(name, Verdict.PASSED, sentence)


def judge_walk_forward(windows: Sequence[Window]) -> Judgement:
    """Does it earn in most windows?"""
    name, traded = "walk_forward", [window for window in windows if window.trades]
    share = consistency(windows)
    if share is None or len(traded) < WINDOWS_MIN:
        sentence = f"{len(traded)} of {len(windows)} windows have a trade; it takes {WINDOWS_MIN}"
        return Judgement(name, Verdict.NOT_JUDGED, sentence)
    earned = round(share * len(traded))
    sentence = f"{earned} of {len(traded)} windows with a trade earned something"
    return Judgement(name, Verdict.PASSED if share > 0.5 else Verdict.FAILED, sentence)


def judge_monte_carlo(found: MonteCarlo | None, trades: int) -> Judgement:
    """Does it stay clear of ruin, and end above its start more often than not?"""
    name = "monte_carlo"
    few = _few_trades(name, trades)
    if few is not None:
        return few
    if found is None:
        return Judgement(name, Verdict.NOT_JUDGED, "equity fell to zero in the backtest itself")
    sentence = (
        f"{100 * found.ruin_probability:.1f} % of {found.runs:,} resampled runs lost {100 * found.ruin_loss:.4g} % of "
        f"the start, {100 * found.loss_probability:.1f} % ended below it"
    )
    passed = found.ruin_probability <= RUIN_MOST and found.loss_probability < 0.5
    return Judgement(name, Verdict.PASSED if passed else Verdict.FAILED, sentence)


def judge_significance(found: RandomEntries | None, trades: int, unfit: str | None) -> Judgement:
    """Are its entries better than random ones?  unfit: why random entries cannot be tried."""
    name = "significance"
    if unfit is not None:
        return Judgement(name, Verdict.NOT_JUDGED, unfit)
    few = _few_trades(name, trades)
    if few is not None or found is None:
        return few or Judgement(name, Verdict.NOT_JUDGED, "it has no entry")
    sentence = (
        f"{found.profit:+.4g} a trade against {found.random_profit[50]:+.4g} of random entries, "
        f"p = {found.p_value:.3f} in {found.runs:,} runs"
    )
    return Judgement(name, Verdict.PASSED if found.p_value <= CHANCE_MOST else Verdict.FAILED, sentence)


def judge_deflated(found: Deflated | None, days: int) -> Judgement:
    """Is its Sharpe ratio more than the best of so many trials would show by luck?"""
    name = "deflated_sharpe"
    if days < DAYS_MIN:
        return Judgement(name, Verdict.NOT_JUDGED, f"{days} days of returns; {SAMPLE} {DAYS_MIN}")
    if found is None or found.probability is None:
        return Judgement(name, Verdict.NOT_JUDGED, "daily equity never changed, or fell to zero")
    above = "zero"
    if found.trials > 1:
        above = f"{found.expected_maximum:.3f}, what luck gives the best of {found.trials:,} forms"
    sentence = (
        f"a Sharpe ratio of {found.sharpe:.3f} a day: the true one is above {above}, with a probability of "
        f"{100 * found.probability:.1f} %"
    )
    return Judgement(name, Verdict.PASSED if found.probability >= SHARPE_LEAST else Verdict.FAILED, sentence)


def _few_trades(name: str, trades: int) -> Judgement | None:
    if trades >= TRADES_MIN:
        return None
    words = "no trade" if not trades else f"{trades} trade{'s' * (trades > 1)}"
    return Judgement(name, Verdict.NOT_JUDGED, f"{words}; {SAMPLE} {TRADES_MIN}")
