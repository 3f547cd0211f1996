"""The main path as a pure function: step, state, decide."""
