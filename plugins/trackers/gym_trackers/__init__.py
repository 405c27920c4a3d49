"""Runs in Weights & Biases and MLflow: two extensions that tell a tracker the same."""
