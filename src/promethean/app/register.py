"""Everything that registers a name, and the list of it all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, get_args

from promethean.config.tree import VenueName
from promethean.domain.errors import ConfigError
from promethean.domain.registry import Plugins, load_plugins, scan


def register_everything() -> Plugins:
    """Import every module that registers a name, ours and the plug-ins'.

    Raises ConfigError where a plug-in uses a name that is taken.
    """
    from promethean import indicators, strategies

    scan(indicators)
    scan(strategies)
    return load_plugins()


@contextlib.contextmanager
def explaining(plugins: Plugins) -> Iterator[None]:
    """A name that is unknown may be that of a plug-in that cannot be loaded: then its ConfigError says that as well."""
    try:
        yield
    except ConfigError as error:
        if not plugins.broken:
            raise
        raise ConfigError("; ".join((str(error), *plugins.broken))) from error


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

    plugins = register_everything()
    ours = __name__.partition(".")[0] + "."
    of_plugins = sorted(name for name, made in STRATEGIES.entries().items() if not made.__module__.startswith(ours))
    exits = {
        "stop_loss": "stop_loss", "tiers": "take_profit_tiers", "trail": "trailing_stop", "hold": "time_based",
        "breakeven": "breakeven",
    }  # fmt: skip
    return {
        "modes": ["paper"],
        "exchanges": sorted(set(VENUE_URLS) & set(get_args(VenueName))),
        "order_types": sorted(PaperVenue.capabilities.order_types),
        "execution_algorithms": sorted(module.name for module in iter_modules(execution.__path__)),
        "strategies_builtin": sorted(set(STRATEGIES) - set(of_plugins)),
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
        "plugins": {"loaded": list(plugins.loaded), "broken": list(plugins.broken), "strategies": of_plugins},
    }
