"""What the journal says about performance: metrics, reports, scorecards."""
