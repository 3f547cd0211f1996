"""A size is a share of equity or an amount, never both and never neither."""

from __future__ import annotations

from decimal import Decimal

import pytest

from promethean.domain.sizing import Sizing


def test_a_size_is_a_share_or_an_amount() -> None:
    assert Sizing(Decimal("0.02")).quote_amount is None
    assert Sizing(None, Decimal(100)).equity_share is None


@pytest.mark.parametrize(("share", "amount"), [(None, None), (Decimal("0.02"), Decimal(100))])
def test_neither_and_both_are_refused(share: Decimal | None, amount: Decimal | None) -> None:
    with pytest.raises(ValueError, match="exactly one of them"):
        Sizing(share, amount)
