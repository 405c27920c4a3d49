"""Why a model stopped, in the words of many servers.

An answer counts only where it is known to have ended: a word that stands in no table here means that it did not.
Letters alone are compared, in any case: `MAX_TOKENS`, `maxTokens` and `FinishReason.MAX_TOKENS` are one word. Of
`content_filter: RECITATION`, as Gemini writes it for OpenAI's clients, the last word counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gym_core.domain.stop_reasons import StopReason

_NO_LETTER = re.compile(r"[^a-z]")
_PREFIX = "finishreason"

_TABLE: Mapping[StopReason, tuple[str, ...]] = {
    StopReason.COMPLETED: (
        # OpenAI; function_call is the older word, which Qianfan, SGLang and Together still use
        *("stop", "tool_calls", "function_call"),
        *("end_turn", "stop_sequence", "tool_use"),  # Anthropic, Bedrock
        *("complete", "completed", "tool_call"),  # Cohere
        *("eos", "eos_token", "word"),  # Together and SiliconFlow, TGI and watsonx, llama.cpp's own API
        *("eos_found", "stop_string_found"),  # LM Studio
        *("end_id", "stop_words"),  # TensorRT-LLM
        *("end", "end_of_text", "finish", "stop_criteria_met"),  # proxies of Ollama, AI21, Titan on Bedrock
        "normal",  # Qianfan
    ),
    StopReason.MAX_OUTPUT_TOKENS: (
        *("length", "max_output_tokens", "max_completion_tokens"),  # OpenAI's APIs
        *("max_tokens", "model_context_window_exceeded"),  # Anthropic, Bedrock, Gemini; the latter Z.ai, too
        "model_length",  # Mistral
        *("limit", "token_limit", "error_limit"),  # llama.cpp's own API, watsonx, Cohere
        *("max_predicted_tokens_reached", "context_length_reached"),  # LM Studio
        *("max_new_tokens", "max_length"),  # servers on top of transformers
        "repetition",  # vLLM: cut as it went round in circles
    ),
    StopReason.CONTENT_FILTER: (
        *("content_filter", "content_filtered", "guardrail_intervened"),  # OpenAI and Azure, Bedrock
        *("safety", "recitation", "blocklist", "prohibited_content", "spii", "language", "model_armor"),  # Gemini
        *("image_safety", "image_prohibited_content", "image_recitation"),
        *("refusal", "sensitive", "error_toxic"),  # Anthropic, Z.ai, Cohere
    ),
    # What the model wrote is no call that could be read: that is its answer, and asking again would be a second chance.
    StopReason.EMPTY: (
        *("malformed_function_call", "unexpected_tool_call", "too_many_tool_calls"),  # Gemini
        *("malformed_model_output", "malformed_tool_use"),  # Bedrock
    ),
}


def _letters(word: str) -> str:
    return _NO_LETTER.sub("", word.lower())


_MEANINGS = {_letters(word): meaning for meaning, words in _TABLE.items() for word in words}


def ending(word: Any) -> StopReason | None:
    """What a server's word for the end of an answer means; None for one that is not known to mean an end.

    `completed`, `max_output_tokens` and `content_filter`; `empty` where the model's attempt at a call could not be
    read. SGLang's own `{"type": word}` is read, too.
    """
    if isinstance(word, Mapping):
        word = word.get("type")
    if not isinstance(word, str):
        return None
    return _MEANINGS.get(_letters(word.rpartition(":")[2]).removeprefix(_PREFIX))
