"""What trades and order books show between the candles.

These functions take trades and books as arrays and look at what happened up to one instant; they are no columns of
candles, so they are not registered as indicators.
"""
