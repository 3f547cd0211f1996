"""Virtual clock, faults, the local venue and the checker that prove the platform."""
