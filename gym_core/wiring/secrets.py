"""Keeping secrets out of what gym prints and writes: by value, whatever the place.

What is a secret is decided here alone (`secrets_within`, when options are resolved): options of a secret type, values
whose names say so, at any depth, and what URLs carry. A value that is no coincidence is hidden everywhere, in each form
that it may take. One that could be an ordinary word is hidden in the words of others and never in gym's own: a key may
be called like a field, a model or an environment, and rows and manifests have to stay readable. Where it is certainly
meant as a secret, as in a URL or as the value of a secret option, the place decides, and any value is hidden.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

MASK = "***"
"""What stands for a secret."""

MIN_LENGTH = 6
"""A shorter value is not looked for: it would mask ordinary words."""
_CERTAIN = 16
"""Characters of a value that stands nowhere by coincidence, unless it is a word."""
_LONGEST_WORD = 24


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SECRET_VARIABLE = re.compile(r"(^|_)(\w*KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(_|$)", re.IGNORECASE)
_PROXY_VARIABLE = re.compile(r"(https?|all|ftp|wss?)_proxy", re.IGNORECASE)
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET_WORDS = _words(
    """
    token secret secrets password passwd pwd passphrase passcode credential credentials authorization auth bearer
    cookie apikey signature jwt
    """
)
_KINDS_OF_KEY = _words(
    """
    api access secret private auth account subscription master service storage signing encryption license admin
    functions openai anthropic azure x
    """
)
_FIELD = re.compile(r"""(["']?)([\w.-]+)(\1\s*[:=]\s*)("[^"]*|'[^']*|[^\s"',;}\]]+)""")
_NO_TOKEN = _words("stop eos bos pad sep unk mask cls image audio special start end next")
_PLACEHOLDERS = _words("none empty null dummy local token key x xx xxx xxxx - no na n/a test ollama api apikey")
"""What people write where a client wants a key and a server none."""
_IN_A_URL = frozenset({"key", "sig", "code", "auth", "pw", "pass", "token"})
# as URLs are read: up to the last @ of the authority
_USERINFO = re.compile(r"(://[^/?#\s:@\"']*:)[^/?#\s\"']+@")
_USERINFO_BYTES = re.compile(_USERINFO.pattern.encode())
_USER_ALONE = re.compile(r"(://)[^/?#\s:@\"']+:?@")

# Fields whose values are gym's own, a model's or a data set's names for things: rows are found and counted by them.
_NAMES = _words(
    """
    task_id id call_id item_id response_id run_id type role name status stop_reason model ref distribution version
    agent env object phase class actor api transport finish_reason protocol executor sha256 created_at started_at
    finished_at time python platform gym path file
    """
)
_OWN_WORDS = _words(
    """
    account actor agent agents answer api apikey arguments assistant attempt attempts auto budget calls cancelled
    chat class code completed component components concurrency config console content context cost data dataset
    default description developer distribution empty environment error errors events extent failed failures false
    field fields file files finished format function given handler header headers hidden import index info input
    items judge key keys latency length level limit limits line lines list local localhost logprobs manifest mean
    message messages method mode model models monitor name names none normal null number object operational options
    openai origin output params parameters parallel passed path phase platform plugin plugins policy price prices
    process progress project prompt protocol python reason reasoning reference refused request requests required
    response responses resource result results resume retries reward rewards role roles rollout rollouts row rows
    run sample samples seconds seed server session sessions settings setup source status stderr stdout stop stopped
    string strict success summary system task tasks temperature text timeout timed_out token tokens tool tools
    total trace trajectory transport true truncated type types unknown usage user values verdict verify version
    waited warning worker workers write agent_error call_id content_filter env_error function_call
    function_call_output input_text max_output_tokens max_turns model_error output_text resource_server
    responses_create_params reward_components run_id session_done stop_reason task_id tool_calls verifier_error
    input_tokens output_tokens total_tokens finish_reason
    """
)


def names_secret(variable: str) -> bool:
    """Whether the value of an environment variable of this name is one to hide. `MAX_TOKENS` names none."""
    return _SECRET_VARIABLE.search(variable) is not None


def names_secret_field(name: str, *, in_url: bool = False) -> bool:
    """Whether a field's name, `x-api-key` or `clientSecret`, say, means that its text is one to hide.

    `in_url`: it stands in a URL's query, where shorter names mean the same.
    """
    parts = [part.lower() for part in _PARTS.findall(name)]
    if not parts:
        return False
    last, before = parts[-1], parts[-2] if len(parts) > 1 else ""
    if in_url and name.lower() in _IN_A_URL:
        return True
    if last in ("key", "keys"):
        return before in _KINDS_OF_KEY
    return last in _SECRET_WORDS and not (last == "token" and before in _NO_TOKEN)


def secrets_within(value: Any, name: str = "") -> Iterator[str]:
    """Every secret in an option's value, of any shape; `name`: of the option or field that holds it."""
    if hasattr(value, "get_secret_value"):
        hidden = value.get_secret_value()
        yield from _secret_texts(hidden.decode("utf-8", "replace") if isinstance(hidden, bytes) else str(hidden))
    elif isinstance(value, str):
        if name and (names_secret_field(name) or (name.lower() == "key" and _is_certain(value))):
            yield from _secret_texts(value)
        elif "://" in value:
            yield from _of_url(value)
    elif isinstance(value, Mapping):
        for field, inner in value.items():
            yield from secrets_within(inner, str(field))
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from secrets_within(inner, name)
    elif hasattr(type(value), "model_fields"):
        yield from secrets_within(dict(value))
    elif hasattr(value, "unicode_string"):  # pydantic's URLs
        yield from _of_url(value.unicode_string())


def _secret_texts(text: str) -> Iterator[str]:
    """A secret text, and what it is made of: `Bearer KEY`, `Basic ...`, a URL."""
    yield text
    if len(text) < MIN_LENGTH or text.isalpha():
        yield f"Bearer {text}"  # where a header is quoted, a short one or a word is no coincidence either
    scheme, _, rest = text.strip().partition(" ")
    if rest and scheme.lower() in ("bearer", "basic", "token", "apikey", "key"):
        yield rest.strip()
        if scheme.lower() == "basic":
            from base64 import b64decode

            try:
                user, _, password = b64decode(rest.strip()).decode().partition(":")
            except ValueError:
                return
            yield password or user
    if "://" in text:
        yield from _of_url(text)


def _of_url(url: str) -> Iterator[str]:
    from base64 import b64encode
    from urllib.parse import parse_qsl, unquote, urlsplit

    try:
        parts = urlsplit(url)
    except ValueError:
        return
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    hidden = password or user  # a token may stand alone
    if hidden:
        yield hidden
        yield unquote(hidden)
        for pair in dict.fromkeys((f"{unquote(user)}:{unquote(password)}", f"{user}:{password}")):
            yield b64encode(pair.encode()).decode()
    for query in (parts.query, parts.fragment):
        for name, value in parse_qsl(query):
            if names_secret_field(name, in_url=True):
                yield value


class Redactor:
    """Knows the secret values of a process and masks them in text."""

    __slots__ = ("_bytes", "_certain", "_kept", "_others", "_text", "_values", "_wanted", "passed_over")

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: dict[str, bool] = {}
        """The values that are looked for; whether a value stands nowhere by coincidence."""
        self._kept: set[str] = set()
        self._certain: re.Pattern[str] | None = None
        self._text: re.Pattern[str] | None = None
        self._bytes: re.Pattern[bytes] | None = None
        self._wanted: list[bytes] = []
        self._others: re.Pattern[bytes] | None = None
        self.passed_over = 0
        """How many secrets are not looked for in texts, because they are ordinary words or very short."""
        self.add(*values)

    def __bool__(self) -> bool:
        return bool(self._values)

    def add(self, *values: str) -> None:
        """Hide these values from now on, in the forms of JSON, of URLs and of Basic authentication, too."""
        before = len(self._values)
        for value in values:
            stripped = value.strip()
            if not stripped or stripped in self._values:
                continue
            if self._is_ordinary(stripped):
                self.passed_over += stripped.lower() not in _PLACEHOLDERS
                continue
            self._values[stripped] = _is_certain(stripped)
        if len(self._values) > before:
            self._compile()

    def keep(self, *words: str) -> None:
        """Never hide these words, which are gym's own names for what it runs."""
        self._kept.update(word for word in words if word)
        found = [word for word in self._kept & self._values.keys() if not self._values[word]]
        if found:
            self.passed_over += len(found)
            for word in found:
                del self._values[word]
            self._compile()

    def _is_ordinary(self, value: str) -> bool:
        if len(value) < MIN_LENGTH or value.lower() in _OWN_WORDS:
            return True
        return (value.isdecimal() and len(value) < _CERTAIN) or (value in self._kept and not _is_certain(value))

    def _compile(self) -> None:
        certain: dict[str, str] = {}
        others: dict[str, str] = {}
        wanted: list[str] = []
        for value, is_certain in self._values.items():
            encoded = _base64(value)
            for form in (*_forms(value), *encoded):
                pattern = _pattern(form)
                if is_certain:
                    certain[form] = pattern
                else:  # a word is one only where it stands alone
                    others[form] = rf"(?<![A-Za-z0-9_]){pattern}(?![A-Za-z0-9_])" if form.isalpha() else pattern
            wanted += [_in_each_form(value), *(encoded if is_certain else ())]
        self._text = _any_of(others | certain)
        self._certain = _any_of(certain)
        self._bytes, self._others = _of_bytes(self._certain), _of_bytes(_any_of(others))
        self._wanted = [word.encode() for word in wanted]

    def add_variables(self, names: Iterable[str], environ: Mapping[str, str]) -> None:
        """Hide the values of those variables whose names say that they are secret, and what URLs of proxies hold."""
        self.add(*(environ[name] for name in names if names_secret(name) and name in environ))
        for name in environ:
            if _PROXY_VARIABLE.fullmatch(name):
                url = environ[name]
                self.add(*_of_url(url if "://" in url else f"http://{url}"))

    def redact(self, text: str) -> str:
        """The text with every secret replaced by `***`, and with it the password in any URL."""
        if self._text is not None:
            text = self._text.sub(MASK, text)
        return _USERINFO.sub(rf"\1{MASK}@", text) if "@" in text else text

    def redact_bytes(self, data: bytes) -> bytes:
        """The same for JSON in UTF-8, whose keys and names of things stay as they are; URLs of others, too."""
        # Every row passes here, and hardly any holds a secret: looking for each is far cheaper than the pattern.
        for value in self._wanted:
            if value in data:
                break
        else:
            return data
        if self._bytes is not None:
            data = self._bytes.sub(MASK.encode(), data)
        if self._others is not None and self._others.search(data):
            return self._redact_json(data)
        return data

    def redact_line(self, data: bytes) -> bytes:
        """`redact_bytes` for a line of a log, in which no URL shows a password either."""
        data = self.redact_bytes(data)
        return _USERINFO_BYTES.sub(rb"\1" + MASK.encode() + b"@", data) if b"@" in data else data

    def settings(self, value: Any, name: str = "") -> Any:
        """Settings, as JSON, without secrets: here names and URLs decide as well, so that any value is hidden."""
        if isinstance(value, str):
            if name and names_secret_field(name):
                return MASK if value else value
            return self._masked(_without_url_secrets(value), name)
        if isinstance(value, Mapping):
            certain = self._certain
            return {
                field if certain is None else certain.sub(MASK, str(field)): self.settings(inner, str(field))
                for field, inner in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.settings(inner, name) for inner in value]
        return value

    def arguments(self, arguments: Sequence[str]) -> list[str]:
        """The arguments of a command without secrets: `-M api_key=x` is known by its name."""
        shown: list[str] = []
        for argument in arguments:
            name, equals, value = argument.partition("=")
            if equals and value:
                field = name.rpartition(".")[2].removeprefix("--")
                shown.append(f"{name}={self.typed(value, field)}")
            else:
                before = shown[-1] if shown else ""
                shown.append(str(self.settings(argument, before[2:] if before.startswith("--") else "")))
        return shown

    def typed(self, value: str, name: str) -> str:
        """What was typed for an option of this name, JSON perhaps, without secrets."""
        return str(self.settings(value if names_secret_field(name) else _as_json(value, self.settings) or value, name))

    def _redact_json(self, data: bytes) -> bytes:
        from gym_core.domain.json_text import JsonError, encode_json, parse_json

        try:
            value = parse_json(data, strict=True)
            masked = self._masked(value)
            if masked == value:
                return data
            encoded = encode_json(masked, _INDENTED if data.startswith((b"{\n", b"[\n")) else 0)
            return encoded + b"\n" if data.endswith(b"\n") else encoded
        except (JsonError, RecursionError):
            return self.redact(data.decode("utf-8", "replace")).encode()

    def _masked(self, value: Any, name: str = "") -> Any:
        if isinstance(value, str):
            pattern = self._certain if name in _NAMES else self._text
            return value if pattern is None else pattern.sub(MASK, value)
        if isinstance(value, dict):
            return {field: self._masked(inner, field) for field, inner in value.items()}
        if isinstance(value, list):
            return [self._masked(inner, name) for inner in value]
        return value


_INDENTED = 1
"""`orjson.OPT_INDENT_2`"""


def _is_certain(value: str) -> bool:
    if len(value) < _CERTAIN:
        return False
    return len(value) > _LONGEST_WORD or not re.fullmatch(r"[A-Za-z_.:/-]+", value)


def _any_of(patterns: Mapping[str, str]) -> re.Pattern[str] | None:
    # the longest first, so that a secret that contains another is masked whole
    longest_first = sorted(patterns, key=len, reverse=True)
    return re.compile("|".join(patterns[form] for form in longest_first)) if patterns else None


def _of_bytes(pattern: re.Pattern[str] | None) -> re.Pattern[bytes] | None:
    return None if pattern is None else re.compile(pattern.pattern.encode())


def _forms(value: str) -> set[str]:
    """A secret as it is, in a shell, in HTML and in a URL."""
    import html
    from urllib.parse import quote, quote_plus

    value = value.encode("utf-8", "replace").decode()
    escaped = {quote(value, safe=""), quote(value), quote_plus(value)}
    return {
        value,
        value.replace("'", "'\"'\"'"),
        html.escape(value),
        html.escape(value).replace("&#x27;", "&#39;"),
        html.escape(value, quote=False),
        *escaped,
        *(re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), form) for form in escaped),
    }


def _pattern(form: str) -> str:
    """Matches a text in strings of JSON and Python as well, and in strings within these."""
    return "".join(map(_character, form))


def _character(character: str) -> str:
    if character == "\\":
        return r"\\+"
    if character in "\"'/":
        return r"\\*" + character
    if character.isascii() and character.isprintable():
        return re.escape(character)
    written = json.dumps(character)[1:-1].replace("\\", r"\\+")
    return f"(?:{re.escape(character)}|{written})"


def _in_each_form(value: str) -> str:
    """The longest part of a secret that no form changes, which is looked for first."""
    return max(re.findall(r"[A-Za-z0-9_.-]+", value), key=len, default="")


def _base64(value: str) -> set[str]:
    """A secret in Base64, up to the letters that what follows it changes."""
    from base64 import b64encode, urlsafe_b64encode

    encoded = value.encode("utf-8", "replace")
    whole = encoded[: len(encoded) // 3 * 3]
    return {b64encode(whole).decode(), urlsafe_b64encode(whole).decode()}


def _without_url_secrets(text: str) -> str:
    if "://" not in text:
        return text
    from urllib.parse import unquote

    text = _USER_ALONE.sub(rf"\1{MASK}@", _USERINFO.sub(rf"\1{MASK}@", text))
    return re.sub(
        r"([?&#;])([^=&#\s]+)=([^&#\s]+)",
        lambda found: (
            f"{found[1]}{found[2]}={MASK}" if names_secret_field(unquote(found[2]), in_url=True) else found[0]
        ),
        text,
    )


def _as_json(text: str, clean: Callable[[Any], Any]) -> str:
    """JSON within an argument without its secrets; empty for anything else.

    In what was meant as JSON and is none a field is known by its name, too.
    """
    if not text.lstrip().startswith(("{", "[")):
        return ""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _FIELD.sub(
            lambda found: f"{found[1]}{found[2]}{found[3]}{MASK}" if names_secret_field(found[2]) else found[0], text
        )
    cleaned = clean(value)
    return text if cleaned == value else json.dumps(cleaned, ensure_ascii=False)
