"""Which way prices move, and between which levels."""
