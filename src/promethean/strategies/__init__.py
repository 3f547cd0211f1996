"""Signals and exits: what a strategy file can name."""
