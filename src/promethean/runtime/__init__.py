"""The imperative shell: runner, sender, feeds, clock, supervision, telemetry."""
