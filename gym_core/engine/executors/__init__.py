"""Who carries rollouts out: this process, in so many tasks at once. Others come as plugins."""
