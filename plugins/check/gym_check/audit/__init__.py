"""Whether an environment is sound and cannot be cheated, found out without a paid model: `gym check`."""
