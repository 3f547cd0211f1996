"""The tables say what the journal says: each is computed again from the journal's rows alone and compared."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.test_recovery import lively, margined
from tests.runtime.world import BALANCE, Commits, Cut, Market, Process, Site, Town, desk_of, funded, recorded, rough

from promethean.domain.ids import fact_id
from promethean.domain.instants import to_datetime
from promethean.storage.database import Database
from promethean.storage.journal import Journal, Record, account_stream
from promethean.storage.projections import budget_use
from promethean.storage.rows import Rows, rows_text, upserts

Run = Callable[[Callable[[Database], Awaitable[Any]]], Any]
D = Decimal
ZERO = D(0)
STATUS = {
    "OrderPlanned": "planned", "OrderClaimed": "sending", "OrderAccepted": "open", "OrderRejected": "rejected",
    "OrderCancelled": "cancelled", "OrderExpired": "expired", "OrderDropped": "dropped",
    "OrderOutcomeUnknown": "unknown", "OrderFoundAbsent": "absent",
}  # fmt: skip
ENDED = {"rejected", "cancelled", "expired", "dropped", "absent", "filled"}


@dataclass
class Told:
    """An account as its journal tells it, by plain sums over plain JSON."""

    rows: list[Record]
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    fills: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for row in self.rows:
            body = row.body
            if row.type in ("OrderPlanned", "OrderAdopted"):
                self.orders[body["order_id"]] = {**body, "fills": [], "status": "planned", "evidence": None}
                if row.type == "OrderAdopted":
                    self.orders[body["order_id"]].update(status="open", evidence=body["evidence_id"])
            elif row.type == "OrderFilled":
                order = self.orders[body["fill"]["order_id"]]
                order["fills"].append(body["fill"])
                self.fills.append(body["fill"])
                whole = filled(order) == D(order["intent"]["quantity"])
                order.update(status="filled" if whole else "partially_filled", evidence=body["evidence_id"])
                self._hold(body)
            elif row.type in STATUS:
                order = self.orders[body["order_id"]]
                order["status"] = STATUS[row.type]
                order["evidence"] = body.get("evidence_id", order["evidence"])

    def _hold(self, body: Any) -> None:
        """The exits that a venue names are those that there are; the others have gone."""
        if "exits" not in body:
            return
        named = {told["order_id"]: told for told in body["exits"]}
        for identity, told in named.items():
            fresh = {**told, "fills": [], "status": "open", "evidence": body["evidence_id"]}
            self.orders.setdefault(identity, fresh)["intent"] = told["intent"]
        for identity, order in self.orders.items():
            if "entry" in order and identity not in named and order["status"] not in ENDED:
                order.update(status="cancelled", evidence=body["evidence_id"])

    def of(self, kind: str) -> list[Any]:
        return [row.body for row in self.rows if row.type == kind]

    @property
    def cash(self) -> Decimal:
        [opened] = self.of("AccountOpened")
        return D(opened["balance"]) + sum((paid(fill) for fill in self.fills), ZERO)


def filled(order: dict[str, Any]) -> Decimal:
    return sum((D(fill["quantity"]) for fill in order["fills"]), ZERO)


def paid(fill: dict[str, Any]) -> Decimal:
    """What a fill does to cash, quote units."""
    value = D(fill["price"]) * D(fill["quantity"])
    return (value if fill["side"] == "sell" else -value) - D(fill["fee"]["amount"])


@dataclass
class Books:
    """One run: the account as the journal tells it, and every table."""

    told: Told
    process: Process
    tables: dict[str, list[Any]]


TABLES = (
    "orders", "fills", "positions", "ledger_entries", "budgets", "reservations", "risk_decisions", "venue_evidence",
    "signals", "equity_snapshots", "circuit_breaker_states",
)  # fmt: skip


async def keep_books(site: Site) -> Books:
    process = await site.run()
    connection = await site.database.raw()
    try:
        rows = [row async for row in Journal(connection).read(account_stream(site.account))]
        tables = {name: await connection.fetch(f"SELECT * FROM {name}") for name in TABLES}
    finally:
        await connection.close()
    return Books(Told(rows), process, tables)


def books_of(run: Run, at: Market, folder: Path, *, busy: bool) -> Books:
    async def story(database: Database) -> Books:
        desk = lively(at, folder) if busy else desk_of(at.instrument, folder)
        return await keep_books(await Town(database, folder).site(at, desk=desk))

    found: Books = run(story)
    return found


@pytest.fixture(params=["real", "rough", "short"])
def books(run: Run, tmp_path: Path, request: pytest.FixtureRequest) -> Books:
    """Runs on real prices, on rough ones, and on rough ones with short positions."""
    if request.param == "real":
        shared: Path = request.getfixturevalue("shared")
        at = recorded(shared / "data/ohlcv/binance_spot_BTCUSDT_1m_2025-05_2025-07.parquet", 6_000)
        return books_of(run, at, tmp_path, busy=False)
    return books_of(run, rough(1500, 3, futures=request.param == "short"), tmp_path, busy=True)


def test_every_table_follows_from_the_journal(books: Books) -> None:
    assert len(books.told.of("PositionClosed")) > 5, "a run in which nothing happens proves nothing"
    check_orders(books)
    check_fills(books)
    check_positions(books)
    check_ledger(books)
    check_budget(books)
    check_decisions(books)
    check_evidence(books)
    check_signals(books)
    check_days(books)


def test_funding_is_in_the_ledger_in_its_position_and_in_the_day(run: Run, tmp_path: Path) -> None:
    at = rough(1500, 3, futures=True)

    async def story(database: Database) -> Books:
        return await keep_books(
            await Town(database, tmp_path).site(at, desk=lively(at, tmp_path), terms=funded(at, 5, 1))
        )

    books: Books = run(story)
    payments = books.told.of("FundingPaid")
    assert len(payments) > 10
    assert {D(body["amount"]) > 0 for body in payments} == {True, False}
    for check in (check_orders, check_fills, check_positions, check_ledger, check_budget, check_evidence):
        check(books)
    rows = books.tables["positions"]
    assert sum(row["funding"] for row in rows) == sum(D(body["amount"]) for body in payments)
    closed = [body.get("funding", "0") for body in books.told.of("PositionClosed")]
    held = [h.position.funding for h in books.process.state.account.holdings.values()]
    assert sum(map(D, closed), sum(held, ZERO)) == books.process.state.account.totals.funding
    [breaker] = books.tables["circuit_breaker_states"]
    today = books.told.of("DayStarted")[-1]["at_ns"]
    assert breaker["funding"] == sum((D(body["amount"]) for body in payments if body["at_ns"] >= today), ZERO)


def test_a_liquidation_is_an_order_of_the_venues_in_every_table(run: Run, tmp_path: Path) -> None:
    at = rough(1500, 3, futures=True)

    async def story(database: Database) -> Books:
        return await keep_books(await Town(database, tmp_path).site(at, desk=margined(at, tmp_path)))

    books: Books = run(story)
    taken = [order for order in books.told.orders.values() if order["intent"]["role"] == "liquidation"]
    assert len(taken) > 5
    for check in (check_orders, check_fills, check_positions, check_ledger, check_decisions, check_evidence):
        check(books)
    rows = books.tables["positions"]
    assert sum(row["status"] == "liquidated" for row in rows) == len(taken)
    assert {(row["leverage"], row["margin_mode"]) for row in rows} == {(D(100), "isolated")}
    for row in rows:
        assert (row["liquidation_price"] is None) == (row["quantity"] == 0)
        if row["status"] == "liquidated":  # the margin and no more, down to the tick
            margin = row["entry_price"] * row["original_quantity"] / 100
            assert -margin <= row["realised_pnl"] <= -margin + D("0.01") * row["original_quantity"]
    reserved = {str(row["intent_id"]): row["amount"] for row in books.tables["reservations"]}
    for identity, order in books.told.orders.items():
        if not reduces(order):
            price = order["intent"].get("limit_price", order["intent"]["reference_price"])
            assert reserved[identity] == round(D(order["intent"]["quantity"]) * D(price) / 100, 12)
    [budget] = books.tables["budgets"]
    assert (budget["reserved"], budget["used"]) == budget_use(books.process.state.account)


def check_orders(books: Books) -> None:
    orders = {str(row["id"]): row for row in books.tables["orders"]}
    assert orders.keys() == books.told.orders.keys()
    for identity, told in books.told.orders.items():
        row, intent = orders[identity], told["intent"]
        assert (row["status"], row["filled_quantity"]) == (told["status"], filled(told))
        assert (row["side"], row["type"], row["role"]) == (intent["side"], intent["type"], intent["role"])
        assert (row["quantity"], row["client_order_id"]) == (D(intent["quantity"]), told["client_order_id"])
        assert row["fee"] == sum((D(fill["fee"]["amount"]) for fill in told["fills"]), ZERO)
        notional = sum((D(fill["price"]) * D(fill["quantity"]) for fill in told["fills"]), ZERO)
        average = round(notional / filled(told), 12) if told["fills"] else None
        assert row["average_price"] == average
        assert str(row["evidence_id"] or "") == (told["evidence"] or "")


def check_fills(books: Books) -> None:
    names = ("order_id", "venue_trade_id", "price", "quantity", "fee", "fee_currency", "liquidity", "executed_at_ns")
    found = Counter(tuple(str(row[name]) if name == "order_id" else row[name] for name in names)
                    for row in books.tables["fills"])  # fmt: skip
    assert found == Counter(
        (
            fill["order_id"],
            fill["trade_id"],
            D(fill["price"]),
            D(fill["quantity"]),
            D(fill["fee"]["amount"]),
            fill["fee"]["currency"],
            "maker" if fill["maker"] else "taker",
            fill["executed_at_ns"],
        )
        for fill in books.told.fills
    )


def check_positions(books: Books) -> None:
    """Each stretch from flat to flat is one position."""
    stretches: list[list[dict[str, Any]]] = []
    held = ZERO
    for fill in books.told.fills:
        if held == 0:
            stretches.append([])
        stretches[-1].append(fill)
        held += D(fill["quantity"]) * (1 if fill["side"] == "buy" else -1)
    rows = sorted(books.tables["positions"], key=lambda row: row["opened_at"])
    assert len(rows) == len(stretches)
    for row, fills in zip(rows, stretches, strict=True):
        entry = fills[0]["side"]
        opened = [fill for fill in fills if fill["side"] == entry]
        closed = [fill for fill in fills if fill["side"] != entry]
        bought = sum((D(fill["quantity"]) for fill in opened), ZERO)
        sold = sum((D(fill["quantity"]) for fill in closed), ZERO)
        cost = sum((D(fill["price"]) * D(fill["quantity"]) for fill in opened), ZERO)
        assert row["side"] == ("long" if entry == "buy" else "short")
        assert (row["original_quantity"], row["quantity"]) == (bought, bought - sold)
        assert row["entry_price"] == round(cost / bought, 12)
        assert row["fees"] == sum((D(fill["fee"]["amount"]) for fill in fills), ZERO)
        if bought > sold:
            assert row["status"] == "open"
        if bought == sold:
            role = books.told.orders[closed[-1]["order_id"]]["intent"]["role"]
            assert row["status"] == ("liquidated" if role == "liquidation" else "closed")
            assert row["close_reason"] == role
            value = sum((D(fill["price"]) * D(fill["quantity"]) for fill in closed), ZERO)
            assert row["realised_pnl"] == (value - cost if entry == "buy" else cost - value)


def check_ledger(books: Books) -> None:
    transactions: dict[Any, Decimal] = defaultdict(D)
    accounts: dict[str, Decimal] = defaultdict(D)
    for row in books.tables["ledger_entries"]:
        transactions[row["transaction_id"], row["currency"]] += row["amount"]
        accounts[row["account"]] += row["amount"]
    assert set(transactions.values()) == {ZERO}
    payments = [D(body["amount"]) for body in books.told.of("FundingPaid") if D(body["amount"])]
    assert len(transactions) == 1 + len(books.told.fills) + len(payments)
    assert accounts["funding"] == sum(payments, ZERO)
    assert accounts["fee"] == sum((D(fill["fee"]["amount"]) for fill in books.told.fills), ZERO)
    assert accounts["external"] == -BALANCE
    account = books.process.state.account
    assert account.cash + sum((h.position.margin for h in account.holdings.values()), ZERO) == (
        accounts["cash"] + accounts["position"]
    )
    if all(order["intent"]["side"] == "buy" for order in books.told.orders.values() if not reduces(order)):
        assert accounts["cash"] == books.told.cash == account.cash


def reduces(order: dict[str, Any]) -> bool:
    return bool(order["intent"]["reduce_only"])


def check_budget(books: Books) -> None:
    reservations = {str(row["intent_id"]): row for row in books.tables["reservations"]}
    entries = {identity: order for identity, order in books.told.orders.items() if not reduces(order)}
    assert reservations.keys() == entries.keys()
    reserved = ZERO
    for identity, order in entries.items():
        row, price = reservations[identity], D(order["intent"].get("limit_price", order["intent"]["reference_price"]))
        assert row["amount"] == D(order["reservation"]) == D(order["intent"]["quantity"]) * price
        assert (row["released_at"] is not None) == (order["status"] in ENDED)
        if order["status"] not in ENDED:
            reserved += (D(order["intent"]["quantity"]) - filled(order)) * price
    [budget] = books.tables["budgets"]
    assert budget["reserved"] == reserved
    assert (budget["reserved"], budget["used"]) == budget_use(books.process.state.account)
    if not books.process.state.account.holdings:
        assert budget["used"] == 0


def check_decisions(books: Books) -> None:
    decisions = books.tables["risk_decisions"]
    passed = Counter(str(row["intent_id"]) for row in decisions if row["verdict"] == "pass")
    assert passed == Counter(books.told.orders.keys()), "exactly one PASS for each order"
    by_order = {str(row["id"]): str(row["risk_decision_id"]) for row in books.tables["orders"]}
    assert by_order == {str(row["intent_id"]): str(row["id"]) for row in decisions if row["verdict"] == "pass"}
    refused = Counter(row["code"] for row in decisions if row["verdict"] == "refused")
    assert refused == Counter(body["refused"]["code"] for body in books.told.of("IntentRefused"))


def check_evidence(books: Books) -> None:
    evidence = {str(row["id"]): str(row["order_id"]) for row in books.tables["venue_evidence"]}
    for row in books.tables["orders"]:
        if row["status"] in ENDED - {"dropped"}:
            about = books.told.orders[evidence[str(row["evidence_id"])]]
            mine = books.told.orders[str(row["id"])]
            # What ended an exit of the venue's may be the fill of another order of its position.
            assert about is mine or ("entry" in mine and about["intent"]["strategy"] == mine["intent"]["strategy"])
    assert len(evidence) == len(
        [row for row in books.told.rows if "evidence_id" in row.body and row.type != "OrderFoundAbsent"]
    )


def check_signals(books: Books) -> None:
    raised = Counter(
        (body["signal"]["at_ns"], body["signal"]["type"], body["signal"]["reason"])
        for body in books.told.of("SignalRaised")
    )
    assert Counter((row["at_ns"], row["type"], row["reason"]) for row in books.tables["signals"]) == raised
    orders = books.told.orders.items()
    by_signal = {identity: told for identity, told in orders if told["intent"]["role"] in ("entry", "signal")}
    followed = {str(row["order_id"]): row for row in books.tables["signals"] if row["executed"]}
    assert followed.keys() == by_signal.keys()
    assert all(row["reason"] == by_signal[identity]["intent"]["reason"] for identity, row in followed.items())


def check_days(books: Books) -> None:
    days = books.told.of("DayStarted")
    found = sorted(row["equity"] for row in books.tables["equity_snapshots"])
    assert found == sorted(D(body["equity"]) for body in days)
    [breaker] = books.tables["circuit_breaker_states"]
    assert breaker["day_start_equity"] == D(days[-1]["equity"])
    today = days[-1]["at_ns"]
    closed = [body for body in books.told.of("PositionClosed") if body["at_ns"] >= today]
    profits = [D(body["realised"]) - D(body["fees"]) for body in closed]
    assert breaker["trades"] == len(closed)
    assert breaker["wins"] == sum(profit > 0 for profit in profits)
    assert breaker["losses"] == sum(profit < 0 for profit in profits)
    tripped = [body["at_ns"] for body in books.told.of("BreakerTripped") if body["at_ns"] >= today]
    assert breaker["is_triggered"] == bool(tripped)
    assert breaker["triggered_at"] == (to_datetime(tripped[0]) if tripped else None)


def test_an_account_that_was_killed_and_started_again_has_the_same_tables(run: Run, tmp_path: Path) -> None:
    at = rough(1000, 3)

    async def story(database: Database) -> Books:
        site = await Town(database, tmp_path).site(at, desk=lively(at, tmp_path))
        for cut in (6, 2, 1, 3, 2):
            with pytest.raises(Cut):
                await site.run(commits=Commits(cut, after=cut % 2 == 1))
        return await keep_books(site)

    books: Books = run(story)
    for check in (
        check_orders,
        check_fills,
        check_positions,
        check_ledger,
        check_budget,
        check_decisions,
        check_evidence,
    ):
        check(books)


# ---------------------------------------------------------------- rows


def test_a_later_row_of_the_same_key_replaces_the_earlier_one() -> None:
    rows = Rows()
    rows.add("orders", "a", id="a", quantity=D("1.50"))
    rows.add("fills", "f", id="f")
    rows.add("orders", "a", id="a", quantity=D(2))
    assert rows.listed() == [("fills", [{"id": "f"}]), ("orders", [{"id": "a", "quantity": D(2)}])]


def test_amounts_are_written_as_decimal_text() -> None:
    [row] = json.loads(rows_text([{"quantity": D("0.10"), "price": D("1E+3"), "at": None}]))
    assert isinstance(row["quantity"], str)
    assert (D(row["quantity"]), D(row["price"]), row["at"]) == (D("0.1"), D(1000), None)
    with pytest.raises(TypeError, match="serializable"):
        rows_text([{"quantity": object()}])


def test_facts_are_never_updated_and_states_are() -> None:
    [fills, orders] = upserts((("fills", ("id", "price")), ("orders", ("id", "status"))), 3, "true")
    assert "ON CONFLICT (id) DO NOTHING" in fills
    assert "ON CONFLICT (id) DO UPDATE SET status = EXCLUDED.status" in orders
    assert "$3::jsonb" in fills
    assert "$4::jsonb" in orders


def test_the_id_of_a_fact_follows_from_what_it_is_about() -> None:
    assert fact_id("order", "trade") == fact_id("order", "trade") != fact_id("order", "trade-2")
