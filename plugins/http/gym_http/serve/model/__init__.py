"""A model backend as an OpenAI-compatible endpoint."""
