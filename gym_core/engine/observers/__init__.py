"""What observes a run: extensions, logs, health."""
