"""News, on-chain, macro and other outside data."""
