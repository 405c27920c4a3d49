"""What may go wrong: each error has a message that says what and where, and a hint that says what to do."""

from gym_core.domain.errors import *  # noqa: F403
