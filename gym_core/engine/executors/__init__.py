"""Who carries rollouts out: this process, others of this machine, or workers that a plugin starts."""
