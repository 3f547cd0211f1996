"""The simulated venue of paper trading and backtests."""
