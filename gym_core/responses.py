"""Public home of the names in `gym_core.domain.responses`, and of how calls and outputs belong together."""

from gym_core.domain.responses import *  # noqa: F403
from gym_core.domain.tool_calls import answered_calls as answered_calls
