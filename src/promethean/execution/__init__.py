"""From an approved intent to orders: brackets and algorithms."""
