"""What happens in a run, as log events. It knows nothing of who is told."""
