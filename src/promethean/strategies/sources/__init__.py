"""What single sources say about an instrument: candles, order books, models, news.  Pure; aggregated by the engine."""
