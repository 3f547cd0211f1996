"""What an account is and how far it may go."""

from __future__ import annotations

import enum


class TradingMode(enum.StrEnum):
    """Who feeds events and who fills orders."""

    BACKTEST = "backtest"
    PAPER = "paper"
    LIVE = "live"


class AccountMode(enum.StrEnum):
    """How far an account may go now (RELIABILITY section 5)."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"
    READ_ONLY = "READ_ONLY"
