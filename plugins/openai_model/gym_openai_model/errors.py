"""A reply that is no response -> the error that the engine acts on.

The wordings are those of OpenAI, Azure, vLLM, SGLang, llama.cpp, Anthropic, Gemini, Mistral, Together, Groq, DeepSeek,
OpenRouter, Bedrock and others: they agree on status codes more or less, and on nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gym_core import ModelError, errors
from gym_http1 import retry_after_seconds
from gym_openai_model.replies import ErrorReply, read_error

_AUTHENTICATION = re.compile(
    r"api[ _-]?key (?:not valid|is invalid|expired)|api_key_invalid|(?:incorrect|invalid) api[ _-]?key"
)
_QUOTA = re.compile(
    r"exceeded_current_quota|insufficient[ _](?:quota|balance|credits?|funds)|credit balance is too low|billing_"
    r"|no credit|out of credits|arrearage|not[ _]enough[ _](?:balance|credits?|funds)|balance is insufficient"
    r"|accountoverdue|overdue balance|past invoices|allocationquota|free tier[^.]{0,40}\bexhausted"
)
_SPENT = re.compile(
    r"used all available credits|spend(?:ing)? limit|credit balance is too low|insufficient (?:balance|funds|credits?)"
    r"|billing hard limit|out of credits|account is not active|余额不足|欠费"
)
_LONG_LIMIT = re.compile(
    r"(?:\bper[ -]|/ ?|by)(?:day|month)\b|\bper 86400 ?s|\b[tr]pd\b|dailylimitexceeded"
    r"|\b(?:daily|monthly)\b[^.]{0,40}\b(?:limit|quota|allowance|allocation|credits|requests|tokens)\b"
)
_SHORT_LIMIT = re.compile(r"(?:\bper[ -]|/ ?|by)(?:minute|min|second|sec|hour)\b|\b[tr]p[msh]\b")
_THROTTLED = re.compile(r"throttl|(?:user)?rate ?limit ?exceeded|rate_limit_exceeded|too many requests")
_TOO_LARGE = re.compile(r"request too large")
_POLICY = re.compile(
    r"content[ _](?:filter|policy|management policy|policy_violation)|responsibleaipolicyviolation|usage polic(?:y|ies)"
    r"|flagged (?:as|by|for)|requires moderation|data_inspection_failed|inappropriate content|safety (?:system|filter)"
)
_POLICY_CODES = frozenset(
    {"content_filter", "content_policy_violation", "invalid_prompt", "moderation_blocked", "censorship_blocked"}
)
_MODEL = re.compile(
    r"\bmodel\b\W{0,4}[\w./:@-]*\W{0,4}(?:does ?n[o']t exist|does not exist|not exist|(?:is |was )?not found"
    r"|(?:is )?(?:not|no longer) available|(?:has been |is )?decommissioned|not loaded)"
    r"|\b(?:invalid|unknown|no such) model\b|not a valid model|have access to model|unable to access model"
)
_MODEL_CODES = frozenset({"model_not_found", "deploymentnotfound", "model_decommissioned", "model_not_available"})
_OTHER_DIALECT = re.compile(r"v1/(responses|chat/completions)\b")
_CONTEXT_CODES = frozenset(
    {"context_length_exceeded", "exceed_context_size_error", "context_window_exceeded", "model_context_window_exceeded"}
)
_CONTEXT = re.compile(
    r"maximum (?:context|model|prompt|sequence|input) length"
    r"|(?:exceed\w*|longer than|overflows?|beyond)[^.]{0,60}\bcontext[ _](?:length|window|size|limit)"
    r"|\bcontext (?:length|window|size|limit)[^.]{0,30}(?:exceed|overflow|too (?:small|short)|of only)"
    r"|(?:prompt|input|conversation|messages?)\b[^.]{0,30}\btoo (?:long|large for model)"
    r"|prompt contains [^.]*too large for model|prompt exceeds max"
    r"|reduce the length of (?:the|your) (?:messages|prompt|input)"
    r"|(?:prompt|input)\b[^.]{0,80}\btokens?\b[^.]{0,60}\bexceed|(?:exceed\w*|over) (?:the )?model token limit"
    r"|input tokens exceed|must have less than \d+ tokens|`inputs` tokens \+ `max_new_tokens`"
    r"|sum of prompt length|range of input length|too many (?:input )?tokens"
)
_LIMIT_ALONE = re.compile(
    r"max_(?:completion_|output_)?tokens'? is too large: (\d+)\D.{0,80}?context length is (\d+)", re.DOTALL
)
_NOT_AN_API = frozenset({405, 501})
_ABSENT = frozenset({404, 410})
_NO_MATTER_THE_PAGE = frozenset({410, 413, 414, 431, 451})
_CONTEXT_STATUSES = frozenset({400, 413, 422, 500})
_MISSING_ITEM = re.compile(r"\bitem with id|previous response|conversation with id")


def classify(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    url: str,
    model: str,
    *,
    credential: str = "",
    now: float | None = None,
) -> ModelError:
    """The error that a reply means.

    `headers`: looked up by lower-case names. `url`: the one that was called, without query and credentials.
    `credential`: where the key was read. `now`: epoch seconds.
    """
    reply = read_error(status, headers, body)
    at = f"{model} at {url}" if model else url
    for rule in (_wrong_address, _policy, _quota, _throttled, _access, _not_found, _busy, _too_long):
        error = rule(reply, at, credential)
        if error is not None:
            break
    else:
        error = _by_status(reply, at)
    error.status = status
    if error.retryable:
        error.retry_after = retry_after_seconds(headers, reply.words, now, reply.body)
    return error


def _wrong_address(reply: ErrorReply, at: str, credential: str) -> ModelError | None:
    if reply.status in (407, 511):
        return errors.EndpointError(
            f"{at} was not reached: a proxy on the way asks for a login ({reply.status}: {reply.message})",
            hint="user name and password go into the URL of HTTP_PROXY or HTTPS_PROXY",
        )
    if 300 <= reply.status < 400:
        return errors.EndpointError(f"{at} redirects elsewhere ({reply.status})", hint="give the final URL as base_url")
    meant = errors.class_of_status(reply.status) not in (errors.BadRequestError, errors.EndpointError)
    if reply.is_html and reply.status < 500 and not meant and reply.status not in _NO_MATTER_THE_PAGE:
        return errors.EndpointError(
            f"{at} answered with a web page ({reply.status}: {reply.message})",
            hint="the base URL is not the one of an API; most servers want it to end in /v1",
        )
    if reply.status in _NOT_AN_API:
        return errors.EndpointError(
            f"{at} does not take this request ({reply.status}: {reply.message})",
            hint="check the base URL, or try the other dialect: -M api=chat or -M api=responses",
        )
    return None


def _policy(reply: ErrorReply, at: str, credential: str) -> ModelError | None:
    if reply.status >= 500 or reply.status in (401, 404, 429):
        return None
    if reply.codes & _POLICY_CODES or _POLICY.search(reply.words):
        return errors.PolicyError(f"{at}: the content policy refused the request: {reply.message}")
    return None


def _quota(reply: ErrorReply, at: str, credential: str) -> ModelError | None:
    limited = reply.status == 403 or errors.class_of_status(reply.status) is errors.RateLimitError
    if limited and _is_long_limit(reply):
        return errors.QuotaError(
            f"{at}: a limit per day or month is used up: {reply.message}",
            hint="wait until it is reset, or raise the account's limit; then --resume",
        )
    # By code, not by "you exceeded your current quota": Gemini says the same of a limit per minute.
    spent = _QUOTA.search(reply.words if reply.status < 429 else " ".join(reply.codes)) or (
        reply.status == 429 and _SPENT.search(reply.words)
    )
    if reply.status == 402 or (reply.status < 500 and spent):
        return errors.QuotaError(f"{at}: no credit left: {reply.message}", hint="add credit, then --resume")
    return None


def _is_long_limit(reply: ErrorReply) -> bool:
    """Whether the limit that was met is one per day or month. A message may list those that were not met, too."""
    if any("perday" in code or "permonth" in code for code in reply.codes):
        return True
    return bool(_LONG_LIMIT.search(reply.words)) and not _SHORT_LIMIT.search(reply.words)


def _throttled(reply: ErrorReply, at: str, credential: str) -> ModelError | None:
    # Google says it with 403, Bedrock and DashScope with 400.
    if reply.status in (400, 403) and _THROTTLED.search(reply.words):
        return errors.RateLimitError(f"{at}: rate limit ({reply.status}): {reply.message}")
    return None


def _access(reply: ErrorReply, at: str, credential: str) -> ModelError | None:
    if reply.codes & {"model_not_found"}:
        return None
    if reply.status not in (401, 403) and not (reply.status == 400 and _AUTHENTICATION.search(reply.words)):
        return None
    if credential:
        message = f"{at} refused the key from {credential} ({reply.status}: {reply.message})"
        hint = "check that the key is whole, not expired and for this endpoint, and organization and project"
    else:
        message = f"{at} asks for a key and none was sent ({reply.status}: {reply.message})"
        hint = "export OPENAI_API_KEY=... or write it into .env"
    return errors.AuthenticationError(message, hint=hint)


def _not_found(reply: ErrorReply, at: str, credential: str) -> ModelError | None:
    other = _OTHER_DIALECT.search(reply.words)
    if reply.status in (400, 404) and other and ("only" in reply.words or "not a chat model" in reply.words):
        dialect = "responses" if other.group(1) == "responses" else "chat"
        return errors.EndpointError(f"{at}: {reply.message}", hint=f"try -M api={dialect}")
    if reply.codes & _MODEL_CODES or (reply.status in (400, 404, 410) and _names_model(reply)):
        return errors.ModelNotFoundError(
            f"{at}: the model is not served ({reply.status}: {reply.message})",
            hint="check its name and your access to it; `gym models` lists what the endpoint offers",
        )
    if reply.status in _ABSENT:
        if _MISSING_ITEM.search(reply.words):
            return errors.BadRequestError(f"{at}: {reply.message}")
        return errors.EndpointError(
            f"{at}: no such path ({reply.status}: {reply.message})",
            hint="check the base URL; most servers want it to end in /v1",
        )
    return None


def _names_model(reply: ErrorReply) -> bool:
    """Whether a 400, 404 or 410 is about the model. A missing path never speaks of one."""
    if _MISSING_ITEM.search(reply.words):
        return False
    return bool(
        reply.param == "model" or _MODEL.search(reply.words) or (reply.status in _ABSENT and "model" in reply.words)
    )


def _busy(reply: ErrorReply, at: str, credential: str) -> ModelError | None:
    if reply.status in (413, 429) and _TOO_LARGE.search(reply.words):
        return errors.BadRequestError(
            f"{at}: {reply.message}", hint="this one request is over the limit per minute; waiting cannot help"
        )
    known = errors.class_of_status(reply.status)
    if known is errors.RateLimitError:
        return errors.RateLimitError(f"{at}: rate limit ({reply.status}): {reply.message}")
    if known is errors.OverloadedError:
        return errors.OverloadedError(f"{at}: overloaded ({reply.status}): {reply.message}")
    return None


def _too_long(reply: ErrorReply, at: str, credential: str) -> ModelError | None:
    if reply.status not in _CONTEXT_STATUSES:
        return None
    limit = _LIMIT_ALONE.search(reply.words)
    if limit and int(limit.group(1)) >= int(limit.group(2)):
        return errors.BadRequestError(
            f"{at}: {reply.message}", hint="max_output_tokens alone fills the model's context: lower it"
        )
    if reply.codes & _CONTEXT_CODES or _CONTEXT.search(reply.words):
        return errors.ContextLengthError(f"{at}: the conversation is too long: {reply.message}")
    return None


def _by_status(reply: ErrorReply, at: str) -> ModelError:
    if reply.status >= 500 or errors.class_of_status(reply.status) is errors.ServerError:
        return errors.ServerError(f"{at}: the server failed ({reply.status}): {reply.message}")
    return errors.BadRequestError(f"{at}: refused ({reply.status}): {reply.message}")
