"""What traded, and at which price."""
