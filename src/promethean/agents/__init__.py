"""Roles, model providers and memory. An agent is a sensor with latency."""
