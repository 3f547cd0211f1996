"""Answers of the commands as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from promethean.domain.instants import format_instant
from promethean.domain.money import plain
from promethean.interfaces.terminal.words import money

SMALL_SAMPLE = 30
GAPS_SHOWN = 20


def pairs(rows: Mapping[str, RenderableType]) -> Table:
    """Names on the left, values on the right."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True, min_width=14)
    table.add_column()
    for name, value in rows.items():
        table.add_row(name, Text(value) if isinstance(value, str) else value)  # a file's name is no markup
    return table


def figures(found: Mapping[str, Any]) -> Table:
    """Figures by their names, which end in their unit."""
    return pairs({name: value if isinstance(value, str) else f"{value:,}" for name, value in found.items()})


def heading(text: str) -> Text:
    """The first line of an answer."""
    return Text(text, style="bold")


def forms_tried(forms: int) -> str:
    """How many forms of a strategy were tried on some data."""
    return f"{forms:,} form{'s' * (forms != 1)} of this strategy on this data, as far as is known"


def one_line(text: str) -> str:
    """What somebody wrote, with what cannot be shown written out: it must not move the cursor or break a line."""
    return "".join(part if part.isprintable() else repr(part)[1:-1] for part in text)


def signed(amount: Decimal, currency: str) -> Text:
    """An amount that may be a gain or a loss."""
    style = "green" if amount > 0 else "red" if amount < 0 else ""
    return Text(f"{money(amount, signed=True)} {currency}", style=style)


def age(seconds: float) -> str:
    """`3 s`, `12 min`, `5 h`, `3 d`: how long ago, for people."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def funding_row(paid: Decimal | str | None, quote: str) -> dict[str, RenderableType]:
    """What funding came to; nothing where there was none.  paid: below zero when received, None: nobody knows."""
    if paid is None:
        return {"Funding": Text("not known", style="yellow")}
    amount = Decimal(paid)
    if not amount:
        return {}
    return {"Funding": f"{money(abs(amount))} {quote} {'paid' if amount > 0 else 'received'}"}


def summary(run: Mapping[str, Any], quote: str, home: str) -> RenderableType:
    """The end of a run.  run: the fields of its summary; amounts are decimal text."""
    start, end = Decimal(run["start_equity"]), run["final_equity"]
    trades, funding = int(run["trades"]), Decimal(run["funding"] or 0)
    result = Decimal(run["realised"]) - Decimal(run["fees"]) - funding
    costs = "fees and funding" if funding else "fees"
    rows: dict[str, RenderableType] = {
        "Prices": Text(run["feed"], style="bold black on yellow" if run["synthetic"] else ""),
        "Account": f"{run['account']}, {run['strategy']} on {run['symbol']}",
        "Candles": f"{run['candles']:,}  ({run['events']:,} events)",
        "Signals": f"{run['signals']:,}, of which {run['refusals']:,} refused by a risk control",
        "Orders": f"{run['orders']:,}  ({run['fills']:,} fills)",
        "Trades": _trades(run),
        "Fees": f"{money(Decimal(run['fees']))} {quote}",
        **funding_row(run["funding"], quote),
        "Result": signed(result, quote).append(f" realised, after {costs}", "dim"),
    }
    if end is None:
        rows["Equity"] = "not known: a held coin has no price"
    else:
        change = Decimal(end) - start
        rows["Equity"] = (
            Text(f"{money(Decimal(end))} {quote}  (")
            .append_text(signed(change, quote))
            .append(f" since {money(start)})")
        )
    if run["open_positions"]:
        rows["Still open"] = f"{run['open_positions']} position, valued at the last price"
    rows["Journal hash"] = Text(run["journal_hash"][:32] + "...", style="dim")
    rows["Time"] = (
        f"{run['total_seconds']:,.1f} s, {run['events_per_s']:,.0f} events/s, up to {run['peak_rss_mb']:,.0f} MB"
    )
    rows["Kept in"] = home
    ending = "The recording has ended." if run["finished"] else "Stopped; the same command goes on from here."
    note = Text("", style="dim")
    if 0 < trades < SMALL_SAMPLE:
        note = Text(f"{trades} trades are too few to tell skill from chance.", style="dim")
    nexts = Text("Next: ", style="dim").append("promethean status", style="bold")
    nexts.append(", promethean audit verify, promethean doctor", style="dim")
    return Group(heading(ending), pairs(rows), *([note] if note else []), nexts)


def _trades(run: Mapping[str, Any]) -> str:
    trades = int(run["trades"])
    if not trades:
        return "none closed"
    return f"{trades:,}: {run['wins']:,} won, {run['losses']:,} lost ({run['wins'] / trades:.0%} of {trades:,} won)"


def status(report: Any, now_ns: int) -> RenderableType:
    """How the installation stands.  report: `operations.PlatformStatus`."""
    running = f"running, process {report.process}" if report.process else "not running"
    killed = report.kill_switch
    rows: dict[str, RenderableType] = {
        "Platform": Text(running, style="green" if report.process else ""),
        "Home": str(report.home),
        "Kill switch": Text("; ".join(killed), style="bold red") if killed else "not set",
    }
    parts: list[RenderableType] = [heading("Promethean"), pairs(rows)]
    if not report.accounts:
        parts.append(Text("No account yet. Start with: promethean up", style="dim"))
    for account in report.accounts:
        parts += [Text(""), _account(account, now_ns)]
    return Group(*parts)


def _account(account: Any, now_ns: int) -> RenderableType:
    kind = "PAPER" if account.is_paper else "LIVE"
    title = Text(f"{one_line(account.label)} ", style="bold").append(f" {kind} ", style="reverse")
    title.append(f"  {account.exchange}, {account.provenance}", style="dim")
    if not account.currency:
        return title
    currency = account.currency
    rows: dict[str, RenderableType] = {
        "Mode": Text(str(account.mode), style="" if account.mode == "ACTIVE" else "bold red"),
        "Equity": "not known" if account.equity is None else f"{money(account.equity)} {currency}",
        "Cash": f"{money(account.cash)} {currency}",
    }
    if account.day_pnl is not None:
        rows["Day"] = signed(account.day_pnl, currency).append(f" on {account.day}", style="dim")
    rows["Entries"] = f"{account.entries_today} on that day"
    rows["Breaker"] = Text(account.breaker, style="bold red") if account.breaker else "ready"
    rows["Trades"] = f"{account.trades:,} closed, {account.wins:,} won, {account.losses:,} lost"
    rows["Positions"] = _positions(account) if account.positions else "none open"
    rows["Orders"] = _orders(account) if account.orders else "none open"
    seen = age((now_ns - account.last_seen_ns) / 1e9)
    ended = "; its recording has ended" if account.finished else ""
    rows["Last event"] = f"{account.last_event} at {format_instant(account.last_event_ns)}, written {seen} ago{ended}"
    return Group(title, pairs(rows))


def _positions(account: Any) -> RenderableType:
    lines = []
    for position in account.positions:
        line = Text(f"{position.side} {plain(position.quantity)} {position.symbol} from {money(position.entry_price)}")
        if position.unrealised is not None:
            line.append("  ").append_text(signed(position.unrealised, account.currency))
        lines.append(line)
    return Group(*lines)


def _orders(account: Any) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for order in account.orders:
        price = order.stop_price if order.stop_price is not None else order.price
        at = "at market" if price is None else f"{'touching' if order.stop_price is not None else 'at'} {money(price)}"
        table.add_row(order.role, f"{order.side} {plain(order.quantity)} {order.symbol}", at, Text(order.status, "dim"))
    return table


def doctor(checks: Sequence[Any]) -> RenderableType:
    """Each precondition with what was found, and the remedy for a problem.  checks: `doctor.Check`."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="dim")
    table.add_column()
    for check in checks:
        found = Text(check.detail)
        if check.remedy:
            found.append(f"\n{check.remedy}", style="bold")
        problem = Text("warning", style="bold yellow") if check.is_warning else Text("problem", style="bold red")
        table.add_row(Text("ok", style="green") if check.ok else problem, check.name, found)
    problems = sum(not check.ok for check in checks)
    end = "Everything is fine." if not problems else f"{problems} problem{'s' if problems > 1 else ''} to solve."
    return Group(table, Text(end, style="bold"))


def latch_words(latch: Any) -> str:
    """A kill latch: whose, why, by whom and when.  latch: `latches.Latch`."""
    whose = f"{latch.scope} {latch.scope_id}".strip()
    return f"{whose}, {latch.reason}, by {latch.set_by}, {format_instant(latch.set_at_ns)}"


def killed(report: Any) -> RenderableType:
    """What became of a kill.  report: `operations.KillReport`."""
    words = {
        "FLAT": ("All flat: no position and no order is left.", "green"),
        "NOT_RUNNING": ("The platform is not running; what is open is closed by the next start.", ""),
        "CANCEL_UNCONFIRMED": ("Orders are still open; they are being cancelled.", "bold red"),
        "RESIDUAL": ("Positions are still open; they are being closed at the next prices.", "bold red"),
        "UNCONFIRMED": ("The database cannot be asked whether all is flat.", "bold red"),
    }
    text, style = words[report.result]
    left = [Text(f"  {one_line(item)}") for item in report.left]
    lifting = Text("Lift it with: ", style="dim").append("promethean unkill", style="bold")
    return Group(Text(f"KILLED  {report.latch}", style="bold red"), Text(text, style=style), *left, lifting)


def lifted(left: Sequence[str]) -> RenderableType:
    """After a kill latch was lifted.  left: latches that are still in force."""
    rest = [Text(f"Still set: {item}", style="bold red") for item in left]
    return Group(Text("Lifted. A running platform trades again.", style="green"), *rest)


def accounts(found: Sequence[Any]) -> RenderableType:
    """The accounts.  found: `accounts.Account`."""
    if not found:
        return Text("No account yet. Start with: promethean up", style="dim")
    table = _table("Label", "Exchange", "Kind", "State")
    for column in table.columns:  # a long label is folded within its column, so that all of it can be read
        column.no_wrap = column.header != "Label"
        column.overflow = "fold"
    for account in found:
        kind = "paper" if account.is_paper else "testnet" if account.is_testnet else "live"
        state = str(account.mode) if account.is_active else "inactive"
        table.add_row(Text(one_line(account.label)), Text(account.exchange), kind, state)
    return table


def audit(checks: Sequence[Any]) -> RenderableType:
    """The streams of the journal.  checks: `operations.StreamCheck`."""
    if not checks:
        return Text("The journal is empty.", style="dim")
    table = _table("Stream", "Rows", "Chain")
    for check in checks:
        whole = check.damaged_row is None
        chain = Text("whole", "green") if whole else Text(f"damaged at row {check.damaged_row:,}", "bold red")
        table.add_row(check.stream, f"{check.rows:,}", chain)
    return table


def imported(report: Any) -> RenderableType:
    """What an import did.  report: `market_import.ImportReport`."""
    market = Text(f"{report.market}, {report.timeframe}")
    if report.market_type_assumed:
        market.append("  the name does not say spot or futures, so spot is assumed; --market says it", "yellow")
    read = Text(f"{report.rows_read:,}")
    if report.read_in_reverse:
        read.append("  its newest row comes first, so it was read in reverse", "yellow")
    rows: dict[str, RenderableType] = {
        "File": report.path.name,
        "Market": market,
        "Rows read": read,
        "Imported": Text(f"{report.imported:,}", style="green" if report.imported else ""),
        "Already there": f"{report.already_present:,}",
        "Repeated": f"{report.duplicates:,}",
        "Quarantined": _quarantined(report.quarantined),
        "Gaps": f"{report.gaps:,}, {report.missing:,} candles in them" if report.gaps else "none",
    }
    if report.series is not None:
        stored = report.series
        span = f"{format_instant(stored.from_ns)[:16]} to {format_instant(stored.to_ns)[:16]}"
        rows["Stored now"] = f"{stored.rows:,} candles, {span}, {stored.coverage:.1%} of the span"
    return pairs(rows)


def _quarantined(reasons: Mapping[str, int]) -> RenderableType:
    if not reasons:
        return "none"
    return Group(*(Text(f"{count:,}  {reason}", style="yellow") for reason, count in reasons.items()))


def series(found: Sequence[Any]) -> RenderableType:
    """The stored series of candles.  found: `market_store.SeriesSummary`."""
    if not found:
        return Text("No candles yet. Import some with: promethean data import FILE", style="dim")
    table = _table("Market", "Timeframe", "Candles", "From", "To", "Coverage")
    for one in found:
        key = one.key
        span = (format_instant(one.from_ns)[:10], format_instant(one.to_ns)[:10])
        name = f"{key.exchange} {key.symbol} {key.market_type}"
        table.add_row(name, key.timeframe, f"{one.rows:,}", *span, f"{one.coverage:.1%}")
    return table


def gaps(found: Sequence[Any]) -> RenderableType:
    """What is missing of stored candles."""
    if not found:
        return Text("Nothing is stored yet. Import candles with: promethean data import FILE")
    table = _table("Series", "Missing from", "to", "Candles")
    for one in found:
        table.add_row(one.series, f"{one.coverage:.2%} of {one.rows + one.missing:,} stored", "", f"{one.missing:,}")
        for gap in one.gaps[:GAPS_SHOWN]:
            table.add_row("", format_instant(gap.from_ns), format_instant(gap.to_ns), f"{gap.candles:,}")
        if len(one.gaps) > GAPS_SHOWN:
            table.add_row("", f"and {len(one.gaps) - GAPS_SHOWN:,} more; --json shows all", "", "")
    return table


def settings(rows: Sequence[Any]) -> RenderableType:
    """Every setting.  rows: `config.Row`."""
    table = _table("Key", "Value", "Unit", "Origin")
    for row in rows:
        style = "" if row.origin == "default" else "bold"
        table.add_row(Text(row.path, style=style), Text(row.value, style=style), row.unit, row.origin)
    return table


def catalogue(found: Mapping[str, Any]) -> RenderableType:
    """Everything that is registered, by kind."""
    rows: dict[str, RenderableType] = {}
    for kind, names in found.items():
        if isinstance(names, Mapping) and any(isinstance(value, list) for value in names.values()):
            for part, values in names.items():
                rows[f"{kind}.{part}"] = ", ".join(values) or Text("none yet", style="dim")
        else:
            listed = str(names) if isinstance(names, int) else ", ".join(map(str, names))
            rows[kind] = listed or Text("none yet", style="dim")
    return pairs(rows)


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for place, column in enumerate(columns):
        justify: Literal["left", "right"] = "right" if column in ("Rows", "Candles", "Coverage") else "left"
        table.add_column(column, justify=justify, no_wrap=place == 0)
    return table
