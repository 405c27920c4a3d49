"""What may keep a run from going well, found before it starts."""
