"""The composition root: builds every object and hands it over.  Nothing else knows the mode."""
