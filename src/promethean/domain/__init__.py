"""The vocabulary: instruments, candles, orders, events, errors, registry."""
