"""What reads and makes items of requests and responses: plain dicts, as the Responses API writes them."""

from gym_core.domain.parts import Content as Content
from gym_core.domain.parts import Detail as Detail
from gym_core.domain.parts import Part as Part
from gym_core.domain.parts import audio_part as audio_part
from gym_core.domain.parts import file_part as file_part
from gym_core.domain.parts import image_part as image_part
from gym_core.domain.parts import text_part as text_part
from gym_core.domain.responses import FunctionCall as FunctionCall
from gym_core.domain.responses import FunctionCallOutput as FunctionCallOutput
from gym_core.domain.responses import Item as Item
from gym_core.domain.responses import Request as Request
from gym_core.domain.responses import Response as Response
from gym_core.domain.responses import Usage as Usage
from gym_core.domain.responses import as_items as as_items
from gym_core.domain.responses import call_id_of as call_id_of
from gym_core.domain.responses import content_parts as content_parts
from gym_core.domain.responses import function_call_output as function_call_output
from gym_core.domain.responses import item_text as item_text
from gym_core.domain.responses import output_text as output_text
from gym_core.domain.responses import user_message as user_message
from gym_core.domain.stop_reasons import BUDGET as BUDGET
from gym_core.domain.stop_reasons import SESSION_DONE as SESSION_DONE
from gym_core.domain.stop_reasons import TRUNCATING as TRUNCATING
from gym_core.domain.stop_reasons import StopReason as StopReason
from gym_core.domain.tool_calls import answered_calls as answered_calls
