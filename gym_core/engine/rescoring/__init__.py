"""Stored rollouts verified again."""
