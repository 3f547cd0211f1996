"""Everything that registers a name, and the list of it all."""

from __future__ import annotations

from typing import Any, get_args

from promethean.config.tree import VenueName
from promethean.domain.registry import load_plugins, scan


def register_everything() -> None:
    """Import every module that registers a name, ours and the plug-ins'."""
    from promethean import indicators, strategies

    scan(indicators)
    scan(strategies)
    load_plugins()


def catalogue() -> dict[str, Any]:
    """Everything that is really registered, under the keys of the specification's catalogue; empty is not there yet."""
    from pkgutil import iter_modules

    from promethean import execution
    from promethean.domain.orders import Protection
    from promethean.domain.signals import Signal, SignalSource, SignalType
    from promethean.engine.decide import Aggregation
    from promethean.exchanges.paper.venue import PaperVenue
    from promethean.indicators.catalogue import INDICATORS
    from promethean.runtime.feeds.live import VENUE_URLS
    from promethean.storage.market_tables import CREATE
    from promethean.storage.tables import METADATA
    from promethean.strategies.catalogue import STRATEGIES

    register_everything()
    exits = {
        "stop_loss": "stop_loss", "tiers": "take_profit_tiers", "trail": "trailing_stop", "hold": "time_based",
        "breakeven": "breakeven",
    }  # fmt: skip
    return {
        "modes": ["paper"],
        "exchanges": sorted(set(VENUE_URLS) & set(get_args(VenueName))),
        "order_types": sorted(PaperVenue.capabilities.order_types),
        "execution_algorithms": sorted(module.name for module in iter_modules(execution.__path__)),
        "strategies_builtin": list(STRATEGIES),
        "signals": {
            "types": list(SignalType),
            "sources": list(SignalSource),
            "fields": list(Signal.__struct_fields__),
            "aggregators": list(Aggregation),
            "presets": [],
        },
        "exits": [exits[name] for name in Protection.__struct_fields__ if name in exits],
        "tools": {},
        "indicators": {name: entry.description for name, entry in sorted(INDICATORS.entries().items())},
        "agents": {},
        "spike_crew": [],
        "ai_providers": [],
        "workers": {},
        "sources": {},
        "telegram_commands": {},
        "notifications": [],
        "topics": [],
        "postgres_tables": sorted(METADATA.tables),
        "clickhouse_tables": sorted(CREATE),
        "ml_models": [],
        "rl": [],
        "cost_modes": [],
        "dashboard_components": 0,
    }
