"""What reads and makes items of requests and responses: plain dicts, as the Responses API writes them."""

from gym_core.domain.responses import *  # noqa: F403
from gym_core.domain.stop_reasons import *  # noqa: F403
from gym_core.domain.tool_calls import answered_calls as answered_calls
