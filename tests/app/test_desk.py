"""What a strategy is given to listen to: a recording, or live candles."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine.builders import BTC

from promethean.app.desk import listen, load_strategy, make_strategy, reads_books
from promethean.app.register import register_everything
from promethean.domain.candles import CandleSeries
from promethean.domain.errors import ConfigError
from promethean.domain.instruments import MarketType, instrument_id
from promethean.engine.combined import Alone, Combined
from promethean.strategies.arrays import Prepared, Trailing
from promethean.strategies.book_source import BookStrategy
from promethean.strategies.file import StrategyFile
from promethean.strategies.frame import Frame
from promethean.strategies.sources.orderbook import BookSettings

FILE = """
strategy: {id: one}
market: {exchange: binance, symbol: BTC/USDT, market_type: spot, primary_timeframe: 1m}
parameters: {period: 14}
indicators: [INDICATOR]
entry: {side: buy, conditions: ["X > 0"]}
risk: {position_size_quote: 100, stop_loss_pct: 1}
"""


def listening(tmp_path: Path, indicator: str, recorded: CandleSeries | None) -> object:
    register_everything()
    path = tmp_path / "one.yaml"
    path.write_text(FILE.replace("INDICATOR", indicator))
    assert BTC.id == instrument_id("binance", "BTC", "USDT", MarketType.SPOT)
    frame = None if recorded is None else Frame(recorded, "1m")
    return listen(make_strategy(load_strategy(path), BTC, "1m"), frame)


def test_a_recording_is_read_whole_and_live_candles_from_a_trailing_window(tmp_path: Path) -> None:
    indicator = "{name: rsi, as: X, params: {period: period}}"
    assert isinstance(listening(tmp_path, indicator, CandleSeries()), Prepared)
    assert isinstance(listening(tmp_path, indicator, None), Trailing)


def test_what_no_trailing_window_decides_runs_on_recordings_alone(tmp_path: Path) -> None:
    indicator = "{name: obv, as: X}"
    assert isinstance(listening(tmp_path, indicator, CandleSeries()), Prepared)
    with pytest.raises(ConfigError, match="strategy one reads X, which depends on all candles there ever were"):
        listening(tmp_path, indicator, None)


def test_a_window_that_a_live_view_does_not_keep_is_refused(tmp_path: Path) -> None:
    indicator = "{name: sma, as: X, params: {period: 5001}}"
    with pytest.raises(ConfigError, match="looks 5,002 candles back, more than the 5,000 that a live feed keeps"):
        listening(tmp_path, indicator, None)


BOOKS = """
strategy: {id: books, class: order_book_imbalance}
market: {exchange: binance, symbol: BTC/USDT, market_type: spot, primary_timeframe: 1s}
parameters: {position_size_pct: 2}
exits: {stop_loss_pct: 1}
"""


def test_what_reads_order_books_is_refused_where_there_are_none(tmp_path: Path) -> None:
    register_everything()
    path = tmp_path / "books.yaml"
    path.write_text(BOOKS)
    file = load_strategy(path)
    assert reads_books(file)
    strategy = make_strategy(file, BTC, "1s")
    with pytest.raises(ConfigError, match="strategy books reads order books, which neither the live nor the synthetic"):
        listen(strategy, None)
    with pytest.raises(ConfigError, match="this data holds no order books"):
        listen(strategy, Frame(CandleSeries(), "1s"))
    path.write_text(FILE.replace("INDICATOR", "{name: obv, as: X}"))
    assert not reads_books(load_strategy(path))


BESIDE = """
strategy: {id: joined, class: CLASS}
market: {exchange: binance, symbol: BTC/USDT, market_type: spot, primary_timeframe: 1s}
parameters: {position_size_pct: 2}
technical: {enabled: TECHNICAL, weight: 2}
orderbook: {enabled: ORDERBOOK, weight: 0.5, imbalance_threshold: 0.7, depth_levels: 5}
exits: {stop_loss_pct: 1}
"""


def beside(tmp_path: Path, name: str, *, technical: bool, orderbook: bool) -> StrategyFile:
    register_everything()
    path = tmp_path / "joined.yaml"
    text = BESIDE.replace("CLASS", name).replace("TECHNICAL", str(technical)).replace("ORDERBOOK", str(orderbook))
    path.write_text(text.replace("True", "true").replace("False", "false"))
    return load_strategy(path)


def test_up_to_three_sources_are_joined_with_the_weights_of_the_file(tmp_path: Path) -> None:
    for technical, orderbook, named in (
        (True, True, [("rsi_reversion", 1.0), ("technical", 2.0), ("orderbook", 0.5)]),
        (False, True, [("rsi_reversion", 1.0), ("orderbook", 0.5)]),
        (True, False, [("rsi_reversion", 1.0), ("technical", 2.0)]),
    ):
        made = make_strategy(beside(tmp_path, "rsi_reversion", technical=technical, orderbook=orderbook), BTC, "1s")
        assert isinstance(made, Combined)
        assert [(part.name, part.weight) for part in made.parts] == named
        books = [part.strategy for part in made.parts if isinstance(part.strategy, BookStrategy)]
        assert [book.settings for book in books] == [BookSettings(levels=5, share_min=0.7)] * orderbook
    alone = make_strategy(beside(tmp_path, "rsi_reversion", technical=False, orderbook=False), BTC, "1s")
    assert isinstance(alone, Alone)


@pytest.mark.parametrize(
    ("name", "technical", "orderbook", "is_refused"),
    [
        ("rsi_reversion", False, True, True),
        ("rsi_reversion", True, True, True),
        ("order_book_imbalance", True, False, True),
        ("rsi_reversion", True, False, False),
    ],
)
def test_who_joins_a_source_that_reads_books_needs_them(
    tmp_path: Path, name: str, technical: bool, orderbook: bool, is_refused: bool
) -> None:
    file = beside(tmp_path, name, technical=technical, orderbook=orderbook)
    assert reads_books(file) is is_refused
    strategy = make_strategy(file, BTC, "1m")
    if not is_refused:
        assert isinstance(listen(strategy, None), Trailing)
        return
    with pytest.raises(ConfigError, match="strategy joined reads order books, which neither the live nor the"):
        listen(strategy, None)
    with pytest.raises(ConfigError, match="this data holds no order books"):
        listen(strategy, Frame(CandleSeries(), "1m"))


def test_a_file_that_is_not_utf8_is_refused_with_its_line_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_bytes("# one\n# Rückkehr\n".encode("latin-1") + FILE.encode())
    with pytest.raises(ConfigError, match=r"one\.yaml, line 2, is not UTF-8 text; save it as UTF-8$"):
        load_strategy(path)
