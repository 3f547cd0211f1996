"""What a person sees while the platform runs: a living picture, a line for each fact, or nothing at all.

Facts are only collected when they are told, which may be thousands a second; words and colours are made by the screen's
own rhythm, a few times a second.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from promethean.domain.events import AccountEvent, SignalRaised
from promethean.domain.instants import format_instant
from promethean.domain.orders import OrderRole
from promethean.engine.state import Holding, State
from promethean.interfaces.terminal.words import FactLog, Line, Numbers, Tone, money, percent, side_word
from promethean.runtime.watching import RunInfo

REPAINTS_PER_S = 4
FACTS_SHOWN = 12
COUNTER_S = 5.0
BAR_CELLS = 24


Facts = Sequence[tuple[AccountEvent, State]]


class QuietView:
    """For machines: sentences go to standard error, and nothing else is shown."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def say(self, text: str) -> None:
        """One plain sentence about what the platform does."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def started(self, run: RunInfo) -> None:
        """Nothing to show."""

    def told(self, facts: Facts) -> None:
        """Nothing to show."""

    def tick(self, state: State, candles: int) -> None:
        """Nothing to show."""


class LineView(QuietView):
    """For pipes and logs: one line for each fact.

    counters: instead of every fact, say every few seconds how far a fast replay has come.
    gone:     is told why a line could not be written, mostly because its reader has gone; None lets the error through.
    """

    def __init__(
        self, console: Console, *, counters: bool = False, gone: Callable[[OSError], None] | None = None
    ) -> None:
        self._console = console
        self._gone = gone
        self._counters = counters
        self._log = FactLog(keep=2)
        self._waiting: Line | None = None
        self._early: list[tuple[AccountEvent, State]] = []
        self._repeated = 0
        self._said_at = 0.0
        self._run: RunInfo | None = None
        self._numbers: Numbers | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()

    def say(self, text: str) -> None:
        """One plain sentence about what the platform does."""
        self._print(text)

    def started(self, run: RunInfo) -> None:
        """Say what runs."""
        self._run, self._numbers = run, Numbers(run.instrument)
        self._said_at = time.monotonic()
        again = "goes on" if run.continued else "starts"
        self._print(f"PAPER trading {again}: {run.strategy.id} on {run.instrument.symbol}, account {run.account}")
        self._print(f"Prices: {run.provenance}")
        early, self._early = self._early, []
        self.told(early)

    def told(self, facts: Facts) -> None:
        """Print each fact, unless it only repeats the refusal before it."""
        if self._counters:
            return
        if self._numbers is None:  # the facts of the start itself come before it is announced
            self._early.extend(facts)
            return
        for fact, state in facts:
            is_new = self._log.add(fact, state)
            if is_new is False:
                self._repeated += 1
                self._waiting = None
            elif is_new:
                self._write(self._log.lines(self._numbers, 1)[0], is_signal=isinstance(fact, SignalRaised))

    def _write(self, line: Line, *, is_signal: bool) -> None:
        # A signal waits for what comes of it: one that only leads to the same refusal again is not a line.
        if is_signal and self._waiting is None:
            self._waiting = line
            return
        self._flush()
        if is_signal:
            self._waiting = line
        else:
            self._print(str(line))

    def _flush(self) -> None:
        if self._repeated:
            self._print(f"{'':19}  {'':<8}  the same {self._repeated:,} more times")
        if self._waiting is not None:
            self._print(str(self._waiting))
        self._repeated, self._waiting = 0, None

    def tick(self, state: State, candles: int) -> None:
        """Say now and then how far a fast replay has come."""
        now = time.monotonic()
        if not self._counters or now - self._said_at < COUNTER_S or self._run is None:
            return
        self._said_at = now
        of = f" of {self._run.total:,}" if self._run.total else ""
        totals = state.account.totals
        self._print(
            f"{candles:,}{of} candles, {totals.signals:,} signals, {totals.refusals:,} refusals, "
            f"{totals.fills:,} fills, {totals.trades:,} trades"
        )

    def _print(self, text: str) -> None:
        try:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        except OSError as error:
            if self._gone is None:
                raise
            self._gone(error)


class LivingView(QuietView):
    """For people at a terminal: one picture that stays in its place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._log = FactLog()
        self._lock = threading.Lock()
        self._run: RunInfo | None = None
        self._numbers: Numbers | None = None
        self._state: State | None = None
        self._candles = 0
        self._first_candle: int | None = None
        self._begun = time.monotonic()
        self._live = Live(
            console=console, auto_refresh=True, refresh_per_second=REPAINTS_PER_S, get_renderable=self.picture
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """One plain sentence, above the picture."""
        self._console.print(Text(text))

    def started(self, run: RunInfo) -> None:
        """What runs; from now on there is something to show."""
        with self._lock:
            self._run, self._numbers = run, Numbers(run.instrument)
            self._begun = time.monotonic()

    def told(self, facts: Facts) -> None:
        """Keep the facts; words are made when the screen is painted."""
        with self._lock:
            for fact, state in facts:
                self._log.add(fact, state)
            if facts:
                self._state = facts[-1][1]

    def tick(self, state: State, candles: int) -> None:
        """Keep where the account stands."""
        self._state = state
        self._candles = candles
        if self._first_candle is None:
            self._first_candle = candles
            self._begun = time.monotonic()

    def picture(self) -> RenderableType:
        """The screen as it should look now."""
        with self._lock:
            run, numbers, state = self._run, self._numbers, self._state
            lines = self._log.lines(numbers, FACTS_SHOWN) if numbers is not None else []
        if run is None or numbers is None:
            return Text("Starting: database, journal, feed ...", style="dim")
        parts: list[RenderableType] = [_header(run)]
        if state is not None:
            parts.append(self._figures(run, numbers, state))
        if run.total is not None:
            parts.append(self._progress(run.total))
        parts.append(_Facts(lines))
        return Group(*parts)

    def _figures(self, run: RunInfo, numbers: Numbers, state: State) -> RenderableType:
        table = Table.grid(padding=(0, 2), expand=False)
        table.add_column(style="dim", min_width=8, no_wrap=True)
        table.add_column(overflow="ellipsis", no_wrap=True)
        for name, value in (
            ("Candle", _candle(run, numbers, state)),
            ("Reading", _reading(run, state)),
            ("Position", _position(numbers, state)),
            ("Exits", _exits(numbers, state)),
            ("Equity", _equity(numbers, state)),
            ("Limits", _limits(state, run.limits.record())),
            ("Trades", _trades(numbers, state)),
        ):
            table.add_row(name, value)
        return table

    def _progress(self, total: int) -> Text:
        done = self._candles
        share = min(1.0, done / total) if total else 1.0
        elapsed = max(time.monotonic() - self._begun, 1e-6)
        rate = (done - (self._first_candle or 0)) / elapsed
        left = f", {(total - done) / rate:,.0f} s left" if rate > 0 and done < total else ""
        full = round(share * BAR_CELLS)
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append("Replay    ", style="dim")
        text.append("━" * full, style="green").append("━" * (BAR_CELLS - full), style="dim")
        text.append(f"  {share:>4.0%}  {done:,} of {total:,} candles, {rate:,.0f}/s{left}")
        return text


class _Facts:
    """The newest facts, as many as fit below what is above; always the same height, so that nothing jumps."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Rule(style="dim")
        room = max(3, min(FACTS_SHOWN, console.height - 14))
        shown = self._lines[-room:]
        for line in shown:
            yield fact_text(line)
        for _ in range(room - len(shown)):
            yield Text("")


def fact_text(line: Line) -> Text:
    """One fact on one line: when, what kind, and in plain words."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(format_instant(line.at_ns)[5:16], style="dim").append("  ")
    style = line.tone.value
    label_style = style if line.tone is Tone.QUIET else f"bold {style}".strip()
    text.append(f"{line.label:<8}", style=label_style).append("  ")
    text.append(line.full_text, style=style if line.tone in (Tone.QUIET, Tone.GOOD, Tone.BAD, Tone.ALARM) else "")
    return text


# ---------------------------------------------------------------- the parts of the picture


def _header(run: RunInfo) -> RenderableType:
    top = Text(no_wrap=True, overflow="ellipsis")
    top.append("PROMETHEAN", style="bold").append("  ")
    top.append(" PAPER ", style="bold reverse").append("  ")
    top.append(f"{run.strategy.id}", style="bold").append(f" on {run.instrument.symbol}, {run.strategy.timeframe}")
    below = Text(no_wrap=True, overflow="ellipsis")
    if run.is_synthetic:
        below.append(" SYNTHETIC ", style="bold black on yellow").append("  ")
        below.append(_sentence(run.provenance.removeprefix("SYNTHETIC ")))
    else:
        below.append(_sentence(run.provenance))
    below.append(f"  account {run.account}", style="dim")
    return Group(top, below, Rule(style="dim"))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _candle(run: RunInfo, numbers: Numbers, state: State) -> Text:
    series = state.view.candles(run.instrument.id, run.strategy.timeframe).tail(1)
    if not len(series):
        return Text("none closed yet", style="dim")
    ((open_time_ns, opened, high, low, close, _),) = series
    change = close / opened - 1
    # What matters most comes first: a narrow terminal cuts the end off.
    text = Text(f"{format_instant(open_time_ns)[5:16]}  ")
    text.append("close ", style="dim").append(numbers.price(close), style="bold").append("  ")
    text.append(percent(change, signed=True), style=_sign_style(change))
    for name, price in (("open", opened), ("high", high), ("low", low)):
        text.append(f"  {name} ", style="dim").append(numbers.price(price))
    return text


def _reading(run: RunInfo, state: State) -> Text:
    text = Text()
    for name, value in run.strategy.reading(state.view).items():
        shown = "not known yet" if math.isnan(value) else f"{value:,.2f}"
        text.append(f"{name} ", style="dim").append(shown).append("   ")
    mark = state.view.mark(run.instrument.id)
    if mark is not None:
        text.append("price ", style="dim").append(Numbers(run.instrument).price(mark.price))
        text.append(f" at {format_instant(mark.at_ns)[11:]}", style="dim")
    return text


def _position(numbers: Numbers, state: State) -> Text:
    if not state.account.holdings:
        return Text("flat", style="dim")
    text = Text()
    for holding in state.account.holdings.values():
        text.append_text(_holding(numbers, state, holding))
    return text


def _holding(numbers: Numbers, state: State, holding: Holding) -> Text:
    position = holding.position
    text = Text(f"{side_word(position.side)} {numbers.quantity(position.quantity)}")
    text.append(f" from {numbers.price(position.entry_price)}")
    mark = state.view.mark(position.instrument)
    if mark is not None:
        open_pnl = position.unrealised(Decimal(repr(mark.price)))
        text.append(f"   {numbers.money(open_pnl, signed=True)}", style=_sign_style(open_pnl))
        text.append(" before exit fees", style="dim")
    return text


def _exits(numbers: Numbers, state: State) -> Text:
    resting = [order for order in state.account.orders.values() if order.intent.reduce_only]
    text = Text()
    for order in resting:
        intent = order.intent
        if intent.role.is_stop and intent.stop_price is not None:
            text.append("stop ", style="dim").append(numbers.price(intent.stop_price), style="red").append("   ")
    for order in resting:
        intent = order.intent
        if intent.role is OrderRole.TARGET and intent.limit_price is not None:
            text.append(f"target {intent.leg} ", style="dim")
            text.append(numbers.price(intent.limit_price), style="green").append("   ")
    return text if text else Text("none resting", style="dim")


def _equity(numbers: Numbers, state: State) -> Text:
    equity, day = state.equity(), state.account.day
    if equity is None:
        return Text("not known: a held coin has no price yet", style="yellow")
    text = Text(numbers.money(equity), style="bold")
    if day is not None and day.equity:
        pnl = equity - day.equity
        text.append(f"   today {money(pnl, signed=True)} ({percent(pnl / day.equity, signed=True)})", _sign_style(pnl))
    return text.append("   cash ", style="dim").append(money(state.account.cash))


def _limits(state: State, limits: Mapping[str, Decimal]) -> Text:
    day, exposure = state.account.day, state.exposure()
    text = Text()
    text.append("entries ", style="dim").append(f"{day.entries if day else 0}{_of(limits, 'daily_trades')}   ")
    shown = "not known" if exposure is None else f"{exposure:,.0f}"
    text.append("exposure ", style="dim").append(f"{shown}{_of(limits, 'total_exposure')}   ")
    if state.account.halts:
        return text.append(f" KILLED ({', '.join(sorted(state.account.halts))}) ", style="bold white on red")
    if day is not None and day.breaker:
        return text.append(f"breaker tripped: {day.breaker}", style="bold red")
    text.append("breaker ", style="dim").append("ready")
    mode = state.account.mode
    return text.append(f"   {mode}", style="yellow") if mode != "ACTIVE" else text


def _of(limits: Mapping[str, Decimal], code: str) -> str:
    return f" of {limits[code]:,.0f}" if code in limits else ""


def _trades(numbers: Numbers, state: State) -> Text:
    totals = state.account.totals
    text = Text(f"{totals.trades:,}")
    if totals.trades:
        text.append(f" ({totals.wins:,} won, {totals.losses:,} lost)")
    net = totals.realised - totals.fees - totals.funding
    costs = " after fees and funding" if totals.funding else " after fees"
    text.append(f"   {numbers.money(net, signed=True)}", style=_sign_style(net)).append(costs, style="dim")
    text.append("   signals ", style="dim").append(f"{totals.signals:,}")
    return text.append("   refused ", style="dim").append(f"{totals.refusals:,}")


def _sign_style(amount: Decimal | float) -> str:
    return "green" if amount > 0 else "red" if amount < 0 else ""


View = QuietView | LineView | LivingView
