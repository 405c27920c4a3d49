"""The version of gym-core, for the core itself: whoever uses it asks `gym_core.__version__`."""

__version__ = "0.1.0"
