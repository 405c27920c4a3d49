"""An MCP server that speaks by hand over standard input and output, wrongly in one way: `quirky_server.py QUIRK`."""

from __future__ import annotations

import json
import sys
from typing import Any

NONE = {"type": "object", "properties": {}}
ADD = {"name": "add", "description": "Add.", "inputSchema": NONE}
ADDED: Any = {"content": [{"type": "text", "text": "added"}]}
SCHEMAS: dict[str, Any] = {
    "untyped": {"properties": {"by": {"type": "integer"}}},
    "missing": None,
    "true": True,
    "referring": {"$ref": "#/$defs/By", "$defs": {"By": {"type": "object", "properties": {"by": {"type": "integer"}}}}},
    "choosing": {
        "anyOf": [
            {"type": "object", "properties": {"by": {"type": "integer"}, "a": {}}, "required": ["by", "a"]},
            {"properties": {"by": {}, "b": {}}, "required": ["by", "b"]},
        ]
    },
    "of another draft": {
        "type": "object",
        "required": ["by", "by"],
        "title": None,
        "properties": {
            "by": {"type": "integer", "exclusiveMinimum": True, "description": None, "default": {"$ref": "#/none"}},
            "a": {"type": "array", "items": {"type": "array", "items": [{"type": "string"}], "minItems": 1}},
            "b": {"type": "string", "pattern": "^\\p{L}+$"},
            "c": {"$ref": "#/$defs/A%20c"},
            "d": {"$ref": "#/$defs/A c/anyOf/1"},
        },
        "$defs": {"A c": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
    },
    "nullable": {"type": ["object", "null"], "properties": None, "required": None},
}
BAD_SCHEMAS: dict[str, Any] = {
    "array": {"type": "array", "items": {}},
    "text": "object",
    "false": False,
    "misspelt": {"type": "object", "properties": {"by": {"type": "integr"}}},
    "misspelt within": {"type": "object", "properties": {"by": {"type": "array", "items": {"type": "integr"}}}},
    "dangling": {"type": "object", "properties": {"by": {"$ref": "#/$defs/By"}}},
    "endless": {"$ref": "#"},
    "remote": {"type": "object", "properties": {"by": {"$ref": "https://example.com/by.json"}}},
}
RESULTS: dict[str, Any] = {
    "null": None,
    "a list": [{"type": "text", "text": "added"}],
    "no content": {},
    "null content": {"content": None},
    "text content": {"content": "added"},
    "a block that is text": {"content": ["added"]},
    "a block without text": {"content": [{"type": "text", "text": None}]},
    "an unknown block": {"content": [{"type": "hologram", "data": "x"}]},
    "an image without a type": {"content": [{"type": "image", "data": "AAAA"}]},
    "a number as text": {"content": [{"type": "text", "text": 42}]},
    "structured": {"content": [], "structuredContent": {"n": 1}},
    "a structured list": {"content": [], "structuredContent": [1, 2]},
    "not what its schema says": {"content": [{"type": "text", "text": "added"}], "structuredContent": {"x": 1}},
    "error as text": {"content": [{"type": "text", "text": "no"}], "isError": "true"},
}
LINES: dict[str, str] = {
    "NaN": '{"jsonrpc": "2.0", "id": %s, "result": {"content": [{"type": "text", "text": NaN}]}}',
    "half a pair": '{"jsonrpc": "2.0", "id": %s, "result": {"content": [{"type": "text", "text": "a\\ud83d"}]}}',
    "id as text": '{"jsonrpc": "2.0", "id": "%s", "result": {"content": [{"type": "text", "text": "added"}]}}',
    "no version": '{"id": %s, "result": {"content": [{"type": "text", "text": "added"}]}}',
    "an error as text": '{"jsonrpc": "2.0", "id": %s, "error": "out of ink"}',
    "an error with a code as text": '{"jsonrpc": "2.0", "id": %s, "error": {"code": "E1", "message": "out of ink"}}',
    "not UTF-8": '{"jsonrpc": "2.0", "id": %s, "result": {"content": [{"type": "text", "text": "a\udcff"}]}}',
}


def send(message: Any) -> None:
    text = message if isinstance(message, str) else json.dumps(message)
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape") + b"\n")
    sys.stdout.buffer.flush()


def tools(quirk: str, cursor: str | None) -> dict[str, Any]:
    """A page of tools."""
    other = {"name": "other", "inputSchema": NONE}
    if quirk in SCHEMAS or quirk in BAD_SCHEMAS:
        tool: dict[str, Any] = {"name": "other", "inputSchema": {**SCHEMAS, **BAD_SCHEMAS}[quirk]}
        if quirk == "missing":
            del tool["inputSchema"]
        return {"tools": [tool, ADD]}
    if quirk == "empty cursor":
        return {"tools": [ADD], "nextCursor": ""}
    if quirk == "empty cursor to a page":
        return {"tools": [ADD] if cursor is None else [other], **({"nextCursor": ""} if cursor is None else {})}
    if quirk == "empty cursor that is refused":
        return {"tools": [ADD], "nextCursor": ""}
    if quirk == "same cursor":
        return {"tools": [ADD], "nextCursor": "again"}
    if quirk == "two cursors in turn":
        return {"tools": [ADD, other], "nextCursor": "b" if cursor == "a" else "a"}
    if quirk == "empty pages":
        page = int(cursor or 0)
        return {"tools": [ADD] if page == 3 else [], **({"nextCursor": str(page + 1)} if page < 3 else {})}
    if quirk == "cursor as a number":
        return {"tools": [other] if cursor else [ADD], **({} if cursor else {"nextCursor": 1})}
    if quirk == "same name":
        return {"tools": [ADD, {**ADD, "description": "Another."}, other]}
    if quirk == "same name to models":
        return {"tools": [{**other, "name": "a.b"}, {**other, "name": "a b"}, ADD]}
    if quirk == "long names":
        return {"tools": [{**other, "name": "x" * 70 + end} for end in ("create", "delete")] + [ADD]}
    if quirk == "nameless":
        return {"tools": [{"inputSchema": NONE}, {**other, "name": ""}, None, {**other, "name": 3}, ADD]}
    if quirk == "described by a list":
        return {"tools": [{**ADD, "description": ["Add."], "title": 1, "annotations": "x", "icons": 3}]}
    if quirk == "not what its schema says":
        return {"tools": [{**ADD, "outputSchema": {"type": "object", "required": ["n"]}}]}
    return {"tools": [ADD]}


def main() -> None:
    quirk = sys.argv[1]
    if quirk == "banner":
        send("Starting the server ...")
        send("")
    for line in sys.stdin:
        message = json.loads(line)
        method, ident = message.get("method"), message.get("id")
        if method == "initialize":
            result: Any = {
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "x", "version": "1"},
            }
            if quirk == "bare greeting":
                result = {"protocolVersion": "2024-11-05", "capabilities": None}
            send({"jsonrpc": "2.0", "id": ident, "result": result})
        elif quirk == "empty cursor that is refused" and (message.get("params") or {}).get("cursor") is not None:
            send({"jsonrpc": "2.0", "id": ident, "error": {"code": -32602, "message": "no such cursor"}})
        elif method == "tools/list" and quirk != "no tools":
            send({"jsonrpc": "2.0", "id": ident, "result": tools(quirk, (message.get("params") or {}).get("cursor"))})
        elif method == "tools/call":
            if quirk == "talkative":
                send({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
                send({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x"}})
                for asked in ("ping", "roots/list", "sampling/createMessage"):
                    send({"jsonrpc": "2.0", "id": asked, "method": asked, "params": {}})
            if quirk in LINES:
                send(LINES[quirk] % ident)
            else:
                send({"jsonrpc": "2.0", "id": ident, "result": RESULTS.get(quirk, ADDED)})
        elif method is not None and ident is not None:
            send({"jsonrpc": "2.0", "id": ident, "error": {"code": -32601, "message": "no such method"}})


if __name__ == "__main__":
    main()
