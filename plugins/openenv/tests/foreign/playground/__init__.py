"""Environments of the real OpenEnv, one of each kind that matters, in a package as `openenv init` makes one."""
