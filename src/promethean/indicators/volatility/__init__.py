"""How far prices move."""
