"""The way to a model: slots, retries, counting."""
