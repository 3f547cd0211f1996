"""Doors: terminal, Telegram, web, MCP. A door translates; it has no rules of its own."""
