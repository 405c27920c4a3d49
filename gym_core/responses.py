"""Public home of the names of responses and of reasons to stop, and of how calls and outputs belong together."""

from gym_core.domain.responses import *  # noqa: F403
from gym_core.domain.stop_reasons import *  # noqa: F403
from gym_core.domain.tool_calls import answered_calls as answered_calls
