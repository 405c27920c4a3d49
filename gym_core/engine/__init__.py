"""The engine: a run, wired, collected and accounted for."""
