"""Smart money: swings, structure, gaps, order blocks, liquidity, hunts and imbalances.

In the arrays of this family +1 is bullish and -1 bearish.  A number of a candle counts from 0 for the first candle that
was ever given, also where a state continues; arrays hold it as float64, with NaN for none, and values with -1 for "not
so far".
"""
