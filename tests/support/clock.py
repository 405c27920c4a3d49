"""A clock that moves only when it is told to, or slept on."""

from gym_testing.clock import FakeClock

__all__ = ["FakeClock"]
