"""Limits, controls, sizing and breakers. Pure functions that fail closed."""
