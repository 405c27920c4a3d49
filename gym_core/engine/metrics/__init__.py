"""Rewards as numbers: means, errors, pass@k."""
