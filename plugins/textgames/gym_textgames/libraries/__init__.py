"""The libraries: each as a `Library` that makes a `Game`."""
