"""Venues behind one port, the paper venue among them."""
