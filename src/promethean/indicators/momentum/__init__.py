"""How fast prices move."""
