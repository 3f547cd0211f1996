"""Arrays in, arrays out, causal."""
