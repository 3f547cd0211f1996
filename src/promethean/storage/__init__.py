"""PostgreSQL, the journal, the vault, the market store."""
