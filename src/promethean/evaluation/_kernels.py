"""One account through all candles of a recording, as a compiled loop.

The same rules as the engine and the simulated venue: decide at a close, fill at the next open, exits inside the candle,
the stop before the targets.  float64 throughout: it finds where fills happen, and what they come to within a cent.
"""

from __future__ import annotations

import math

import numpy as np

from promethean.domain.candles import FloatArray, IntArray
from promethean.evaluation._grid import NEAREST, on_grid, share_equally, whole_lots
from promethean.evaluation._orders import (
    AMOUNT,
    BEARS,
    BREAKS_EVEN,
    CAN_SHORT,
    COOLDOWN,
    FEE_MAKER,
    FEE_TAKER,
    FLIPS,
    HEARD,
    HOLD,
    HOLD_ALWAYS,
    LARGEST,
    LENGTH,
    LOT,
    LOT_SCALE,
    LOT_STEP,
    LOTS_MIN,
    MARGIN,
    NOTIONAL_MIN,
    OPTIMISTIC,
    PARTICIPATION,
    SHARE,
    SLIPPAGE,
    STEADY,
    TICK,
    TICK_SCALE,
    TIGHTENS,
    TRAIL,
    TRAIL_BY_TIER,
    TRAIL_FROM,
    first_stop,
    lost,
    nearest_tick,
    taken_price,
    tier_lots,
    towards,
)
from promethean.evaluation._search import (
    LEAVES_LONG,
    LEAVES_SHORT,
    next_entry,
    next_exit,
    next_payment,
    next_short,
)
from promethean.evaluation.rules import (
    BREAKEVEN,
    ENTRY,
    IN_RANGE,
    LIQUIDATION,
    REVERSAL,
    SIGNAL,
    STOP,
    TARGET,
    TIGHTENED,
    TIME,
    TRAILING,
)
from promethean.indicators.compiled import inlined, lean, number
from promethean.strategies.arrays import FlagArray
from promethean.strategies.conditions._kernels import holds
from promethean.strategies.held import bars_held, gain_pct

WHOLE = 1e6  # a largest share of a candle's volume from which on every order is filled whole
FOUND, TOO_MANY, TOO_THIN, RUINED = 0, 1, 2, 3
"""How a path ended: whole; more fills than there was room for; a candle too thin to fill an order whole; before an
entry of an account that has next to nothing left, whose cash a float no longer tells to the lot."""
NEXT_TO_NOTHING = 1e-4  # of the cash at the start

# What the loop carries from candle to candle: places in two small arrays.  Helpers get these and single numbers: every
# array that a call hands over costs as much as a candle.

CASH, HELD, COST, STOP_AT, ENTERED_AT, STARTED_AT, BEFORE, PEAK, TARGET_AT, TAKEN_AT, SHORT = range(11)
"""Floats: cash, lots held, what they cost, price of the stop, of the entry, of the first stop, cash before the entry,
the best price that the stop has followed, the price of the nearest target that is left, signed by the side, the price
at which the position is liquidated, what was taken from the margin of each base unit for want of cash.
Cash is as if all of the cost had been paid from it."""
COUNT, WAY, STOPPED_BY, OPENED, TIERS, DONE, LEAVING, REVERSES, DECIDED, STOPPED_NS, UNKNOWN, PART = range(12)
"""Integers: fills, side held, what put the stop there, candle of the entry, tiers, whether one is done, why it is left
at the next open or 0, whether the other side follows, candle of the decision, when a stop closed last,
how often the condition on the position could not be answered, the range of finer data that is met or -1; after these
how often each of REFUSALS refused."""
COOLED, TOO_SMALL, MISPLACED, TOO_LARGE = range(12, 16)
REFUSALS = ("cooldown", "too_small", "stop_required", "insufficient_balance")
"""Why entries are refused, by the codes of the controls and of the venue."""
NEVER = -(2**62)
AT_OPEN = NO_NUMBER = number(0)
BY_TRAILING, BY_BREAKEVEN, BY_TIGHTENING = map(number, (TRAILING, BREAKEVEN, TIGHTENED))

_gain_pct, _bars_held = inlined(gain_pct), inlined(bars_held)


@inlined
def _wanted(
    decided_ns: int, sized: float, stop: float, rules: FloatArray, account: FloatArray, places: IntArray
) -> float:
    """Lots of the entry that was decided, as the controls let it through; zero where one refuses.

    sized: the close at which it is sized.  stop: the price of its stop; NaN: what the rules say.
    """
    if rules[COOLDOWN] > 0.0 and decided_ns < places[STOPPED_NS] + int(rules[COOLDOWN]):
        places[COOLED] += 1
        return 0.0
    reference, way = on_grid(sized, rules[TICK], rules[TICK_SCALE], NEAREST), places[WAY]
    worth = rules[AMOUNT] if rules[AMOUNT] > 0.0 else max(account[CASH] * rules[SHARE], 0.0)
    size = worth / reference
    if rules[LARGEST] > 0.0:
        size = min(size, rules[LARGEST])
    steps = size * rules[LOT_SCALE]
    lots = whole_lots(steps / rules[LOT_STEP] if rules[LOT_STEP] != 1.0 else steps)
    notional = lots * rules[LOT] * reference
    if lots <= 0.0 or lots < rules[LOTS_MIN] or notional < rules[NOTIONAL_MIN]:
        places[TOO_SMALL] += 1
        return 0.0
    rests = first_stop(reference, way, stop, rules)
    if (rests >= reference or rests <= 0.0) if way > 0 else rests <= reference:
        places[MISPLACED] += 1
        return 0.0
    # What a float cannot tell from the cash that is there is that cash.
    if notional * (rules[MARGIN] + rules[FEE_TAKER]) > account[CASH] * (1.0 + 1e-12):
        places[TOO_LARGE] += 1
        return 0.0
    return lots


@inlined
def _record(
    what: int, number: int, met: float, i: int, fills: FloatArray, account: FloatArray, places: IntArray
) -> None:
    """Write down a fill."""
    at = places[COUNT]
    fills[at, 0], fills[at, 1], fills[at, 2], fills[at, 3], fills[at, 4] = i, what, number, met, account[CASH]
    fills[at, 5] = places[PART]
    places[COUNT] = at + 1


@inlined
def _leave(
    met: float, lots: float, what: int, number: int, i: int, traded: float, rules: FloatArray, fills: FloatArray,
    account: FloatArray, places: IntArray,
) -> bool:  # fmt: skip
    """Close some lots where the order met the market; False where the candle is too thin to fill it whole."""
    way, quantity = places[WAY], lots * rules[LOT]
    if what & ~IN_RANGE == LIQUIDATION:
        price, fee = lost(account[ENTERED_AT], way, rules[MARGIN], account[SHORT], rules), 0.0
    elif rules[PARTICIPATION] < WHOLE and quantity > rules[PARTICIPATION] * traded:
        return False
    elif what & ~IN_RANGE == TARGET:
        price, fee = on_grid(met, rules[TICK], rules[TICK_SCALE], NEAREST), rules[FEE_MAKER]
    else:
        price, fee = taken_price(met, -way, quantity, traded, rules), rules[FEE_TAKER]
    part = account[COST] if lots == account[HELD] else account[COST] * lots / account[HELD]
    value = price * quantity
    account[CASH] += (value if way > 0 else 2.0 * part - value) - value * fee
    account[COST] -= part
    account[HELD] -= lots
    _record(what, number, met, i, fills, account, places)
    return True


@inlined
def _bear(rules: FloatArray, account: FloatArray, places: IntArray) -> None:
    """Note where the margin of what is held is used up; what cash lacks is taken from it."""
    if rules[BEARS] <= 0.0 or account[HELD] <= 0.0:
        return
    free, way = account[CASH] + account[COST] * (1.0 - rules[MARGIN]), places[WAY]
    account[SHORT] = max(0.0, -free) / (account[HELD] * rules[LOT])
    account[TAKEN_AT] = lost(account[ENTERED_AT], way, rules[BEARS], account[SHORT], rules)


@inlined
def _meet(
    i: int, in_range: int, met_ns: int, opened: float, worst: float, best: float, traded: float, rules: FloatArray,
    exits: FloatArray, fills: FloatArray, account: FloatArray, places: IntArray,
) -> bool:  # fmt: skip
    """What the open of a candle, or its range after that, does to a position; False where it is too thin.

    in_range: 0 for the open, which is then also the worst and the best price, IN_RANGE for the range.
    The candle of the entry opened before its exits were there, but they meet its open too, should slippage have
    carried the entry beyond them.
    """
    way = places[WAY]
    is_behind = (account[STOP_AT] - account[TAKEN_AT]) * way < 0.0
    is_taken = (worst - account[TAKEN_AT]) * way <= 0.0
    is_taken = is_taken and (is_behind or (opened - account[TAKEN_AT]) * way <= 0.0)
    if is_taken or (worst - account[STOP_AT]) * way <= 0.0:
        places[STOPPED_NS] = met_ns
        jumped = (opened - account[STOP_AT]) * way <= 0.0
        what, met = places[STOPPED_BY] + in_range, opened if jumped else account[STOP_AT]
        if is_taken:
            what, met = LIQUIDATION + in_range, account[TAKEN_AT]
        return _leave(met, account[HELD], what, NO_NUMBER, i, traded, rules, fills, account, places)
    for k in range(places[TIERS]):
        if exits[1, k] <= 0.0:
            continue
        beyond = best > exits[0, k] if way > 0 else best < exits[0, k]
        if not (beyond or (rules[OPTIMISTIC] > 0.0 and best == exits[0, k])):
            continue
        size, met = min(exits[1, k], account[HELD]), exits[0, k] if in_range else opened
        if not _leave(met, size, TARGET + in_range, k + 1, i, traded, rules, fills, account, places):
            return False
        exits[1, k] = 0.0
        _find_target(exits, account, places)
        _bear(rules, account, places)
        places[DONE] = 1
        if account[HELD] <= 0.0:
            return True
    if places[LEAVING] and not in_range:
        return _leave(opened, account[HELD], places[LEAVING], NO_NUMBER, i, traded, rules, fills, account, places)
    return True


@inlined
def _follow(best: float, rules: FloatArray, account: FloatArray, places: IntArray) -> None:
    """At the close of a candle the stop follows its best price, and goes to breakeven."""
    way, entry = places[WAY], account[ENTERED_AT]
    if rules[TRAIL] > 0.0 and _follows(best, rules, account, places):
        account[PEAK] = best
        _tighten(towards(best * (1.0 - rules[TRAIL] * way), way, rules), BY_TRAILING, account, places)
    if rules[BREAKS_EVEN] > 0.0:
        gained = on_grid(2.0 * entry - account[STARTED_AT], rules[TICK], rules[TICK_SCALE], NEAREST)
        if places[DONE] > 0 or (best >= gained if way > 0 else best <= gained):
            _tighten(_even(way, entry, rules), BY_BREAKEVEN, account, places)


@inlined
def _follows(best: float, rules: FloatArray, account: FloatArray, places: IntArray) -> bool:
    """Whether the stop follows at this best price of a candle."""
    way = places[WAY]
    if places[TIERS] and rules[TRAIL_BY_TIER] > 0.0:
        return bool(places[DONE] > 0)
    begins = nearest_tick(account[ENTERED_AT] * (1.0 + rules[TRAIL_FROM] * way), way, rules)
    return best >= begins if way > 0 else best <= begins


@inlined
def _even(way: int, entry: float, rules: FloatArray) -> float:
    fee = rules[FEE_TAKER] * way
    return towards(entry * (1.0 + fee) / (1.0 - fee), way, rules)


@inlined
def _tighten(price: float, what: int, account: FloatArray, places: IntArray) -> None:
    if (price - account[STOP_AT]) * places[WAY] > 0.0:
        account[STOP_AT], places[STOPPED_BY] = price, what


@inlined
def _is_losing(price: float, rules: FloatArray, account: FloatArray, places: IntArray) -> bool:
    """Whether the position, with what was closed of it, loses if it is closed at this price; even is losing."""
    value = account[HELD] * rules[LOT] * price
    worth = (value if places[WAY] > 0 else 2.0 * account[COST] - value) - value * rules[FEE_TAKER]
    return bool(account[CASH] + worth - account[BEFORE] <= 1e-9 * value)


@inlined
def _judge(
    i: int, is_over: bool, close: float, side: int, leave: int, answer: int, rules: FloatArray, account: FloatArray,
    places: IntArray,
) -> None:  # fmt: skip
    """At the close of a candle: whether the position is left at the next open, by its time or by what is said.

    is_over: whether its time is.  answer: of the condition on the position: 1 yes, 0 no, -1 unknown.
    """
    way = places[WAY]
    if is_over and (rules[HOLD_ALWAYS] > 0.0 or _is_losing(close, rules, account, places)):
        places[LEAVING] = TIME
        return
    if leave & (LEAVES_LONG if way > 0 else LEAVES_SHORT) != 0:
        places[LEAVING] = SIGNAL
        return
    if answer > 0:
        places[LEAVING] = SIGNAL
        return
    if answer < 0:
        places[UNKNOWN] += 1
    if side != -way:
        return
    losing = rules[CAN_SHORT] > 0.0 and _is_losing(close, rules, account, places)
    if losing or rules[CAN_SHORT] <= 0.0 or rules[TIGHTENS] <= 0.0:
        places[LEAVING], places[DECIDED] = SIGNAL, i
        places[REVERSES] = 1 if rules[CAN_SHORT] > 0.0 and (losing or rules[FLIPS] > 0.0) else 0
    elif places[STOPPED_BY] != TIGHTENED:
        price = towards((account[STOP_AT] + close) / 2.0, way, rules)
        even = _even(way, account[ENTERED_AT], rules)
        if (even - price) * way > 0.0 and (close - even) * way > 0.0:
            price = even
        _tighten(price, BY_TIGHTENING, account, places)


@inlined
def _find_target(exits: FloatArray, account: FloatArray, places: IntArray) -> None:
    """Note the price of the nearest target that is left."""
    nearest = np.inf
    for k in range(places[TIERS]):
        if exits[1, k] > 0.0:
            nearest = min(nearest, exits[0, k] * places[WAY])
    account[TARGET_AT] = nearest


@inlined
def _nearest_loss(account: FloatArray, places: IntArray) -> float:
    """The nearest price on the losing side at which the position goes: its stop, or its liquidation."""
    stop, taken = account[STOP_AT], account[TAKEN_AT]
    return float(max(stop, taken) if places[WAY] > 0 else min(stop, taken))


@inlined
def _next_best(rules: FloatArray, account: FloatArray, places: IntArray) -> float:
    """The nearest price on the winning side, signed by it, at which something happens: a target, or the stop moves."""
    way, entry, nearest = places[WAY], account[ENTERED_AT], account[TARGET_AT]
    if rules[TRAIL] > 0.0:
        if account[PEAK] > 0.0:
            nearest = min(nearest, account[PEAK] * way)
        elif not (places[TIERS] and rules[TRAIL_BY_TIER] > 0.0):
            nearest = min(nearest, nearest_tick(entry * (1.0 + rules[TRAIL_FROM] * way), way, rules) * way)
        elif places[DONE] > 0:
            return -np.inf  # the first close after its tier
    if rules[BREAKS_EVEN] > 0.0 and (_even(way, entry, rules) - account[STOP_AT]) * way > 0.0:
        if places[DONE] > 0:
            return -np.inf
        nearest = min(
            nearest, on_grid(2.0 * entry - account[STARTED_AT], rules[TICK], rules[TICK_SCALE], NEAREST) * way
        )
    return float(nearest)


@inlined
def _time_is_over(open_time: IntArray, end: int, rules: FloatArray, places: IntArray) -> int:
    """The candle at whose close the position's time is over; `end` when there is none."""
    if rules[STEADY] > 0.0:
        return min(int(places[OPENED] + math.ceil(rules[HOLD] / rules[LENGTH]) - 1), end)
    due = open_time[places[OPENED]] + int(rules[HOLD]) - int(rules[LENGTH])
    i = min(places[OPENED] + int(rules[HOLD] / rules[LENGTH]) + 1, end)
    while i > places[OPENED] and open_time[i - 1] >= due:
        i -= 1
    return int(i)


@inlined
def _loses_at(rules: FloatArray, account: FloatArray, places: IntArray) -> float:
    """The price at which the position, closed, would have come out even, a trifle on the winning side."""
    quantity, owed = account[HELD] * rules[LOT], account[BEFORE] - account[CASH]
    if places[WAY] > 0:
        return float(owed / (quantity * (1.0 - rules[FEE_TAKER])) * (1.0 + 1e-8))
    return float((2.0 * account[COST] - owed) / (quantity * (1.0 + rules[FEE_TAKER])) * (1.0 - 1e-8))


@inlined
def _open(
    i: int, opened: float, lots: float, traded: float, own_stop: float, reverses: int, rules: FloatArray,
    fills: FloatArray, account: FloatArray, places: IntArray,
) -> float:  # fmt: skip
    """Open the position that was wanted, at the open of a candle, with its stop; the price of the entry."""
    way, quantity = places[WAY], lots * rules[LOT]
    entry = taken_price(opened, way, quantity, traded, rules)
    account[BEFORE], account[ENTERED_AT] = account[CASH], entry
    account[HELD], account[COST] = lots, entry * quantity
    account[CASH] -= account[COST] + account[COST] * rules[FEE_TAKER]
    _record(ENTRY + REVERSAL * reverses, way * (i - places[DECIDED]), opened, i, fills, account, places)
    account[STARTED_AT] = first_stop(entry, way, own_stop, rules)
    account[STOP_AT], places[STOPPED_BY], account[PEAK] = account[STARTED_AT], STOP, 0.0
    account[TAKEN_AT] = -np.inf * way  # at a spot market nobody takes anything away
    _bear(rules, account, places)
    places[OPENED], places[DONE], places[LEAVING] = i, 0, 0
    return entry


@lean
def trade_path(
    open_time: IntArray, open_: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray, volume: FloatArray,
    lows: FloatArray, highs: FloatArray, side: FlagArray, leave: FlagArray, stops: FloatArray, fixed: FloatArray,
    owed: FloatArray,
    within: IntArray, finer_ns: IntArray, finer_open: FloatArray, finer_low: FloatArray, finer_high: FloatArray,
    rules: FloatArray, targets: FloatArray, shares: FloatArray,
    code: IntArray, constants: FloatArray, rows: FloatArray, stack: FloatArray,
    account: FloatArray, places: IntArray, parts: FloatArray, exits: FloatArray, fills: FloatArray,
) -> tuple[int, int, float, float, float]:  # fmt: skip
    """Fills of one account, in order, written into `fills`, shape (room, FILL).

    lows, highs: what `extremes` gives.
    side:   int8, +1 where a BUY is said at the close of a candle, -1 where a SELL is, else 0.  leave: as `Said` has it.
    stops:  float64, shape (n,), prices of the stops that entries bring along, NaN for none; empty where none does.
    fixed:  float64, shape (n, k), prices of their targets, nearest first, NaN for none; k is 0 where none does.
    owed:   float64, shape (n,), what `FundingTable.owed` gives; empty where no funding is paid.
    within: int64, shape (n, 2), what `Intrabar.within` gives; finer_ns, finer_open, finer_low, finer_high: its ranges.
            All empty: there are no finer data.
    rules:  what `Rules.numbers` gives.
    targets, shares: of the take-profit tiers, fractions.
    code, constants, rows, stack: the condition on the position, a `Program`; no code: there is none.
    account, places, parts, exits: what `room_to_work` makes, all zero.
    A fill: its candle, what it was, its number, where it met the market before slippage and rounding, cash after it,
            the range of finer data that met it, or -1.
            The number of an entry: the candles since its decision, signed by its side; of a target: which; else 0.
    Returns: status, number of fills, cash at the end, lots held at the end (signed), cost of what is held.
    """
    account[CASH], places[STOPPED_NS], places[PART] = rules[0], NEVER, -1
    room, n, i, length_ns = len(fills), len(close), int(np.int64(0)), int(rules[LENGTH])
    heard, can_short, moves = rules[HEARD] > 0.0, rules[CAN_SHORT] > 0.0, rules[TRAIL] + rules[BREAKS_EVEN] > 0.0
    watches = len(code) > 0
    funded, paid_at = len(owed) > 0, 0
    # A column is read where it matters alone: a candle that nobody has looked at yet comes from far away.
    weighs, cools = rules[PARTICIPATION] < WHOLE or rules[SLIPPAGE] > 0.0, rules[COOLDOWN] > 0.0
    while i < n:
        reverses = places[REVERSES]
        if not reverses:
            i = next_entry(side, leave, i, can_short)
            if i >= n - 1:
                break
            places[WAY], places[DECIDED] = int(side[i]), i
            i += 1
        places[REVERSES] = 0
        if account[CASH] < NEXT_TO_NOTHING * rules[0]:
            return RUINED, places[COUNT], account[CASH], 0.0, 0.0
        way, decided = places[WAY], places[DECIDED]
        own_stop = stops[decided] if len(stops) else np.nan
        sized = close[i - 1] if reverses else close[decided]
        decided_ns = open_time[decided] + length_ns if cools else 0
        lots = _wanted(decided_ns, sized, own_stop, rules, account, places)
        if lots <= 0.0:
            continue
        # The order waits for a candle in which something trades.
        while not heard and i < n and volume[i] <= 0.0:
            i += 1
        if i >= n:
            break
        quantity = lots * rules[LOT]
        if rules[PARTICIPATION] < WHOLE and quantity > rules[PARTICIPATION] * volume[i]:
            return TOO_THIN, places[COUNT], account[CASH], 0.0, 0.0
        if places[COUNT] + exits.shape[1] + 3 > room:
            return TOO_MANY, places[COUNT], account[CASH], 0.0, 0.0
        traded = volume[i] if weighs else 0.0
        entry = _open(i, open_[i], lots, traded, own_stop, reverses, rules, fills, account, places)
        paid_at = i
        count = 0
        while count < len(parts) and not math.isnan(fixed[decided, count]):
            count += 1
        brings = count > 0
        if brings:
            share_equally(parts, count)
        places[TIERS] = count if brings else len(targets)
        own_targets, own_shares = (fixed[decided, :count], parts[:count]) if brings else (targets, shares)
        tier_lots(lots, entry, way, own_targets, own_shares, brings, rules, exits)
        _find_target(exits, account, places)
        over = _time_is_over(open_time, n, rules, places) if rules[HOLD] > 0.0 else n
        while i < n:
            if i > places[OPENED] and not places[LEAVING] and not watches:
                # On to the next candle on which something can happen: nearly all are passed over here.
                worst, best = _nearest_loss(account, places), _next_best(rules, account, places) * way
                end = n
                if i <= over:
                    end = over
                elif over < n and rules[HOLD_ALWAYS] <= 0.0:
                    even = _loses_at(rules, account, places)
                    worst = max(worst, even) if way > 0 else min(worst, even)
                    if funded:
                        end = next_payment(owed, i, end)
                if funded and rules[BEARS] > 0.0:
                    free = account[CASH] + account[COST] * (1.0 - rules[MARGIN])
                    end = next_short(owed, i, end, owed[paid_at], account[HELD] * rules[LOT] * way, free)
                if way > 0:
                    i = next_exit(low, high, lows, highs, side, leave, i, end, worst, best, way)
                else:
                    i = next_exit(high, low, highs, lows, side, leave, i, end, worst, best, way)
                if i >= n:
                    break
            if funded:
                account[CASH] -= account[HELD] * rules[LOT] * way * (owed[i] - owed[paid_at])
                paid_at = i
                _bear(rules, account, places)
            worst, best = (low[i], high[i]) if way > 0 else (high[i], low[i])
            is_reached = (worst - _nearest_loss(account, places)) * way <= 0.0 or best * way >= account[TARGET_AT]
            if (is_reached or places[LEAVING]) and (heard or volume[i] > 0.0):
                opened, traded = open_[i], volume[i] if weighs else 0.0
                met_ns = open_time[i] if cools else 0
                # The open, then the range: in the order that finer data tell, where they do.
                part, parts_end = (within[i, 0], within[i, 1]) if len(within) else (0, 0)
                in_range, farther, nearer = AT_OPEN, opened, opened
                while True:
                    if not _meet(
                        i, in_range, met_ns, opened, farther, nearer, traded, rules, exits, fills, account, places
                    ):
                        return TOO_THIN, places[COUNT], account[CASH], 0.0, 0.0
                    if account[HELD] <= 0.0 or (in_range and part >= parts_end):
                        break
                    in_range, farther, nearer = IN_RANGE + AT_OPEN, worst, best
                    if part < parts_end:
                        least, most = finer_low[part], finer_high[part]
                        farther, nearer = (least, most) if way > 0 else (most, least)
                        places[PART], met_ns, opened = part, finer_ns[part], finer_open[part]
                        part += 1
                    elif cools:
                        met_ns = open_time[i] + length_ns - 1
                places[PART] = -1
            if account[HELD] <= 0.0:
                break
            if not places[LEAVING]:
                if moves:
                    _follow(best, rules, account, places)
                closed = close[i] if i >= over or side[i] == -way or watches else 0.0
                answer = 0
                if watches:
                    gained = _gain_pct(entry, closed, way)
                    bars = _bars_held(open_time[places[OPENED]], open_time[i], length_ns)
                    answer = holds(code, constants, rows, stack, i, entry, gained, bars)
                _judge(i, i >= over, closed, int(side[i]), int(leave[i]), answer, rules, account, places)
            i += 1
        if account[HELD] <= 0.0:
            account[HELD], account[COST] = 0.0, 0.0
            if places[REVERSES] and fills[places[COUNT] - 1, 1] == SIGNAL:
                places[WAY] = -way
            else:
                places[REVERSES] = 0  # nothing follows, or a stop or target was faster
        elif funded:
            account[CASH] -= account[HELD] * rules[LOT] * way * (owed[n - 1] - owed[paid_at])
    return FOUND, places[COUNT], account[CASH], account[HELD] * places[WAY], account[COST]


def room_to_work(targets: int, brought: int) -> tuple[FloatArray, IntArray, FloatArray, FloatArray]:
    """Account, places, parts and exits for `trade_path`, for so many tiers of the file and of a signal."""
    account, places = np.zeros(SHORT + 1), np.zeros(TOO_LARGE + 1, np.int64)
    return account, places, np.zeros(brought), np.zeros((2, max(targets, brought)))
