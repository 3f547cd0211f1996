"""Answers of the commands: what a person wrote is shown as it is, and never as something else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from promethean.interfaces.terminal import pages


def shown(page: Any, width: int = 80) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(page)
    return capture.get().splitlines()


def account(label: str) -> Any:
    kind = {"is_paper": True, "is_testnet": False}
    return SimpleNamespace(label=label, exchange="binance", mode="ACTIVE", is_active=True, **kind)


# The last ones are older than the rule about labels.
LABELS = ["main", "[bold]", "[/nothing]", "x" * 64, "\u8caf\u91d1" * 20, "a\nb", "\x1b[31mred", "y" * 500]


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("width", [80, 160])
def test_a_label_never_breaks_the_table(label: str, width: int) -> None:
    lines = shown(pages.accounts([account(label), account("other")]), width)
    assert len(lines) == 3 or len(label) >= 40
    assert lines[1].split()[-3:] == lines[-1].split()[-3:] == ["binance", "paper", "ACTIVE"]
    assert lines[-1].split()[0] == "other"
    assert all(line.isprintable() for line in lines)
    if len(label) < 10 and label.isprintable():
        assert lines[1].startswith(f"{label} ")


@pytest.mark.parametrize("label", LABELS)
def test_a_label_never_breaks_the_status(label: str) -> None:
    platform = SimpleNamespace(
        process=None,
        home="/home",
        kill_switch=(),
        accounts=[
            SimpleNamespace(label=label, exchange="binance", is_paper=True, provenance="nothing yet", currency="")
        ],
    )
    lines = shown(pages.status(platform, 0), 160)
    assert lines[-1].endswith("PAPER   binance, nothing yet")
    assert all(line.isprintable() for line in lines)


def test_what_a_kill_left_open_is_told_on_one_line_each() -> None:
    report = SimpleNamespace(result="RESIDUAL", latch="platform: test", left=("a\nb: long 1 BTC/USDT",))
    assert r"  a\nb: long 1 BTC/USDT" in shown(pages.killed(report))
