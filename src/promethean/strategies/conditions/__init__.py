"""The condition language of strategy files: text, typed tree, truth (SPEC 7.7)."""
