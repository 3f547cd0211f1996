"""Everything the platform can be asked: one catalogue for all doors."""
