"""What no client sends: a server answers it in a clear way, or closes the connection, and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gym_http.serve.http_protocol import MOST_HEAD
from gym_testing import Served
from tests.served.environments import Anything
from tests.served.wire import Answer, Wire, parse, read, read_all

MOST_BODY = 50_000
JSON = "Content-Type: application/json"
TASK = {"row": {"responses_create_params": {"input": "x"}}}
NOTHING = b'{"trajectory": {"input": [], "items": []}}'


@dataclass
class Target:
    """A server, and one session there."""

    wire: Wire
    path: str
    owner: str
    tool: str

    def call(self, body: bytes, name: str = "say") -> Answer:
        """Call a tool."""
        return self.wire.ask("POST", f"{self.path}/tools/{name}", body, self.tool)


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with Served(Anything, max_body=MOST_BODY) as server:
        wire = Wire(server.url)
        opened = wire.ask("POST", "/v1/sessions", {"task": TASK}).json
        owner, tool = (f"Authorization: Bearer {opened[name]}" for name in ("token", "tool_token"))
        yield Target(wire, f"/v1/sessions/{opened['id']}", owner, tool)
        assert wire.ask("GET", "/health").status == 200


# Bodies


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00",
        b"null",
        b"[]",
        b'{"arguments": {"text": 1e999}}',
        b'{"arguments": {"text": ' + b"9" * 5000 + b"}}",
        b'{"arguments": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b"[" * 40_000,
        b'{"a": ' * 3_000 + b"1" + b"}" * 3_000,
        b"\xff\xfe{\0}\0",
        b"a=1&b=2",
        b"\x1f\x8b\x08\x00",
    ],
    ids=lambda body: repr(body)[:40],
)
def test_a_body_that_is_no_json_object_is_refused(target: Target, body: bytes) -> None:
    answer = target.call(body)
    assert (answer.status, answer.error["field"], answer.error["phase"]) == (422, "body", "tool")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (b"5", "bad_arguments"),
        (b"null", "bad_arguments"),
        (b"[]", "bad_arguments"),
        (b'"{"', "bad_json"),
        (b'"[[[[[["', "bad_json"),
        (b'"' + b"[" * 20_000 + b'"', "bad_json"),
        (b'"{\\"text\\": ' + b"9" * 5000 + b'}"', "bad_json"),
        (b'"{\\"text\\": NaN}"', "bad_arguments"),
        (b'{"text": NaN}', "bad_arguments"),
        (b'{"text": {"a": 1}}', "bad_arguments"),
        (b'{"text": "a", "self": 1}', "bad_arguments"),
    ],
)
def test_arguments_that_cannot_be_read_are_answered_to_the_model(target: Target, arguments: bytes, fault: str) -> None:
    answer = target.call(b'{"arguments": ' + arguments + b"}")
    assert (answer.status, answer.json["error"]) == (200, fault)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"arguments": {"text": "\\ud800"}}', "\ufffd"),
        (b'{"arguments": "{\\"text\\": \\"\\\\ud800\\"}"}', "\ufffd"),
        (b'{"arguments": {"text": "\xff\xfe"}}', "\ufffd\ufffd"),
        (b'\xef\xbb\xbf{"arguments": {"text": "x"}}', "x"),
    ],
)
def test_json_that_is_meant_well_is_read(target: Target, body: bytes, text: str) -> None:
    assert target.call(body).json["output"] == text


def test_of_a_key_that_comes_twice_the_last_one_counts(target: Target) -> None:
    assert target.call(b'{"arguments": {"text": "a"}, "arguments": {"text": "b"}}').json["output"] == "b"


def test_text_of_all_planes_comes_back_as_it_was(target: Target) -> None:
    text = "\x00\x1f\u2028\ufeff\U0001f4a9e\u0301"
    assert target.wire.ask("POST", f"{target.path}/tools/say", {"arguments": {"text": text}}, target.tool).json == {
        "output": text,
        "error": None,
        "done": None,
    }


def test_a_body_that_says_that_it_is_too_long_is_not_waited_for(target: Target) -> None:
    answer = target.wire.exchange(target.wire.head("POST", "/v1/sessions", JSON, length=1 << 40))
    assert (answer.status, answer.error["code"]) == (413, "too_large")


def test_a_body_in_pieces_is_cut_at_the_limit(target: Target) -> None:
    piece = b"%x\r\n%b\r\n" % (10_000, b"x" * 10_000)
    head = f"POST /v1/sessions HTTP/1.1\r\nHost: {target.wire.host}\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
    with target.wire.connect() as connection:
        connection.sendall(head.encode() + piece * (MOST_BODY // 10_000 + 1))
        assert read(connection).status == 413
        connection.sendall(piece * 100 + b"0\r\n\r\n" + target.wire.head("GET", "/health"))
        assert read(connection).json == {"status": "ok"}


def test_a_body_that_comes_byte_by_byte_holds_nobody_up(target: Target) -> None:
    body = b'{"arguments": {"text": "slow"}}'
    with target.wire.connect() as slow:
        slow.sendall(target.wire.head("POST", f"{target.path}/tools/say", target.tool, length=len(body)))
        for byte in body[:-1]:
            slow.sendall(bytes([byte]))
        assert target.call(b'{"arguments": {"text": "fast"}}').json["output"] == "fast"
        slow.sendall(body[-1:])
        assert read(slow).json["output"] == "slow"


def test_a_client_that_leaves_within_its_body_is_forgotten(target: Target) -> None:
    with target.wire.connect() as leaving:
        leaving.sendall(target.wire.head("POST", f"{target.path}/tools/say", target.tool, length=1000) + b'{"argu')
    assert target.call(b'{"arguments": {"text": "here"}}').json["output"] == "here"


# Paths and methods


@pytest.mark.parametrize(
    "name",
    ["%E2%82%AC%F0%9F%92%A9", "a%2fb/../c", "..%2fverify", "../verify", "%00", "%zz%ff", "", "verify", "__class__"],
)
def test_a_tools_name_is_never_a_way_to_something_else(target: Target, name: str) -> None:
    answer = target.call(NOTHING.replace(b"trajectory", b"arguments"), name)
    assert answer.status == 200
    assert "reward" not in answer.json


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/verify", 403),
        ("/%76erify", 403),
        ("/verify/", 404),
        ("//verify", 404),
        ("/%2e%2e/%2e%2e/etc/passwd", 404),
        ("/..%2fverify", 404),
    ],
)
def test_no_spelling_of_the_path_opens_the_verifier_to_a_tool_token(target: Target, path: str, status: int) -> None:
    assert target.wire.ask("POST", target.path + path, NOTHING, target.tool).status == status


def test_of_two_tokens_the_first_one_counts(target: Target) -> None:
    assert target.wire.ask("POST", f"{target.path}/verify", NOTHING, target.tool, target.owner).status == 403


@pytest.mark.parametrize(
    "header",
    [
        "Authorization: Bearer",
        "Authorization: Basic abc",
        "Authorization: Bearer \xff\xfe",
        "Authorization: Bearer " + "a" * 50_000,
        "Authorization: Bearer gso_",
        "Cookie: gym_session=\xff; ;;=; gym_session",
    ],
    ids=lambda header: header[:30],
)
def test_a_broken_token_opens_nothing(target: Target, header: str) -> None:
    for path in (f"{target.path}/verify", "/verify", "/say"):
        assert target.wire.ask("POST", path, NOTHING, header).status in (401, 404)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/health", 200),
        ("HEAD", "/v1/tools", 200),
        ("OPTIONS", "/v1/tools", 405),
        ("OPTIONS", "*", 404),
        ("TRACE", "/", 405),
        ("CONNECT", "example.com:80", 400),
        ("BREW", "/", 400),
        ("GET", "/..\\..\\etc", 405),
        ("GET", "/v1/tasks?limit=%F0%9F%92%A9", 422),
        ("GET", "/v1/tasks?limit=%D9%A1", 422),
        ("GET", "/v1/tasks?limit=0", 422),
        ("GET", "/v1/tasks?cursor=1", 404),
    ],
)
def test_other_methods_and_queries(target: Target, method: str, path: str, status: int) -> None:
    answer = target.wire.ask(method, path)
    assert answer.status == status
    assert answer.body or method == "HEAD"


# Framing


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        b"POST /v1/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: xchunked\r\n\r\n5\r\nabcde\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /v1/tools HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
        b"GET /v1/tools HTTP/1.1\r\nHost: 127.0.0.1\r\n X: folded\r\nY\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
    ids=range(8),
)
def test_what_is_no_http_is_answered_400(target: Target, data: bytes) -> None:
    answer = target.wire.exchange(data)
    assert (answer.status, answer.error["code"], answer.error["retryable"]) == (400, "bad_request", False)


def test_two_lengths_hide_no_second_request(target: Target) -> None:
    head = f"POST /v1/sessions HTTP/1.1\r\nHost: {target.wire.host}\r\n"
    smuggled = f"0\r\n\r\nGET /v1/component HTTP/1.1\r\nHost: {target.wire.host}\r\nConnection: close\r\n\r\n"
    with target.wire.connect() as connection:
        connection.sendall(f"{head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{smuggled}".encode())
        assert b"protocol" not in read_all(connection)


def test_requests_that_come_at_once_are_answered_in_turn(target: Target) -> None:
    many = f"GET /health HTTP/1.1\r\nHost: {target.wire.host}\r\n\r\n".encode() * 50
    with target.wire.connect() as connection:
        connection.sendall(many + target.wire.head("GET", "/v1/component"))
        answers = read_all(connection)
    assert answers.count(b'{"status":"ok"}') == 50
    assert answers.index(b'"protocol"') > answers.rindex(b'{"status":"ok"}')


@pytest.mark.parametrize("begin", ["GET / HTTP/1.1\r\nX: ", "GET /"])
def test_a_head_that_does_not_end_is_cut_off(target: Target, begin: str) -> None:
    with target.wire.connect() as connection:
        connection.sendall(begin.encode() + b"a" * (MOST_HEAD + 1 - len(begin)))
        answer = parse(read_all(connection))
    assert answer.status in (400, 431)
    assert answer.headers["connection"] == "close"


# Pages of other sites


@pytest.mark.parametrize(
    ("host", "header", "status"),
    [
        ("evil.example", "", 403),
        ("127.0.0.1.nip.io", "", 403),
        ("localhost.evil.example", "", 403),
        ("", "", 403),
        (None, "Host: evil.example", 403),
        (None, "Origin: http://evil.example", 403),
        (None, "Origin: null", 403),
        (None, "Origin: http://127.0.0.1:3000", 403),
        (None, "Sec-Fetch-Site: same-site", 403),
        ("localhost:1234", "Origin: http://localhost:3000", 403),
        ("localhost:1234", "Origin: http://localhost:1234", 200),
        ("[::1]:80", "", 200),
    ],
)
def test_a_page_of_another_site_cannot_ask(target: Target, host: str | None, header: str, status: int) -> None:
    headers = [header] if header else []
    assert target.wire.ask("GET", "/v1/tools", None, *headers, host=host).status == status
    opened = target.wire.ask("POST", "/seed_session", TASK["row"], *headers, host=host)
    assert opened.status == status
    assert ("set-cookie" in opened.headers) == (status == 200)
