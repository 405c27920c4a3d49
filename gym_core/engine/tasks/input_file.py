"""A dataset as bytes: plain, compressed, or what comes through standard input."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import sys
import zlib
from pathlib import Path
from typing import IO, Any, cast

from gym_core.domain.errors import UsageError
from gym_core.domain.json_text import BOM, what_it_is
from gym_core.wiring.known import TABLES

EDGE = 1 << 20
"""The fingerprint of a large file covers its size and so many bytes at either end."""
_BUFFER = 1 << 18
_COMPRESSED = 1 << 14
_LOOKED_AT = 64


def is_stdin(path: str | Path) -> bool:
    """Whether the user means standard input."""
    return str(path) == "-"


def is_compressed(path: str | Path) -> bool:
    """Whether a file's name says that it is compressed."""
    return str(path).endswith((".gz", ".zst"))


def open_input(path: str | Path, digest: Any = None) -> IO[bytes]:
    """A dataset to read: plain, `.gz`, `.zst`, or `-` for standard input. Raises `UsageError`.

    `digest`: a `hashlib` object that is given the bytes of the file as they are read from disk.
    """
    if is_stdin(path):
        return _stdin()
    try:
        raw = open(path, "rb", buffering=0)  # noqa: SIM115 (handed out)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}", hint="--input takes a file of JSON lines") from error
    unbuffered: io.RawIOBase = raw if digest is None else _Hashing(raw, digest)
    source: IO[bytes] = io.BufferedReader(cast(Any, unbuffered), _BUFFER)
    if str(path).endswith(".gz"):
        return cast(IO[bytes], io.BufferedReader(cast(Any, _Owning(source)), _BUFFER))
    return _open_zst(path, source) if str(path).endswith(".zst") else source


def refuse_no_lines(path: str | Path, file: IO[bytes]) -> None:
    """Raise `UsageError` for a file that holds no lines of JSON but something else altogether."""
    try:
        beginning = file.read(_LOOKED_AT)
    except (OSError, EOFError, zlib.error):
        return  # whoever reads it says where it is broken
    found = what_it_is(beginning)
    hint = _HINTS.get(found, "--input takes a file of JSON lines, in UTF-8")
    text = beginning.removeprefix(BOM).lstrip()
    if text.startswith(b"["):
        found, hint = "one JSON array, not a line of JSON for each task", "`jq -c '.[]' FILE` makes lines of it"
    elif text.startswith(b"{") and text[1:].lstrip(b" \t\r").startswith(b"\n"):
        found, hint = "JSON over several lines, not a line for each task", "`jq -c . FILE` makes lines of it"
    elif str(path).lower().removesuffix(".gz").endswith((".csv", ".tsv", ".parquet")):
        found, hint = found or "a table, not a line of JSON for each task", TABLES
    if found:
        raise UsageError(f"{path}: it is {found}", hint=hint)


_HINTS = {
    "compressed with gzip": "let its name end in `.gz`",
    "compressed with zstd": "let its name end in `.zst`",
    "compressed with bzip2": "unpack it first; `.gz` and `.zst` are read as they are",
    "compressed with xz": "unpack it first; `.gz` and `.zst` are read as they are",
}


def fingerprint(path: str | Path) -> str:
    """SHA-256 over the size of a file and its two ends: what a large file is known by when a run is resumed."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        digest = hashlib.sha256(f"{size}\n".encode())
        file.seek(0)
        digest.update(file.read(EDGE))
        file.seek(max(EDGE, size - EDGE))
        digest.update(file.read(EDGE))
    return digest.hexdigest()


def sha256(path: str | Path) -> str:
    """SHA-256 over a file as it is on disk."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stdin() -> IO[bytes]:
    try:
        # A descriptor of our own: a thread may be waiting in it when the interpreter ends, and must not hold sys.stdin.
        return open(os.dup(sys.stdin.fileno()), "rb")
    except (OSError, ValueError, AttributeError):  # replaced by something without a descriptor
        if sys.stdin is None:
            raise UsageError("there is no standard input", hint="--input FILE") from None
        return cast(IO[bytes], sys.stdin.buffer)


def _open_zst(path: str | Path, source: IO[bytes]) -> IO[bytes]:
    try:
        import zstandard
    except ImportError:
        source.close()
        raise UsageError(f"{path}: reading .zst needs a library", hint="pip install 'gym-core[zst]'") from None
    return cast(IO[bytes], io.BufferedReader(_Zstd(source, zstandard), _BUFFER))


class _Hashing(io.RawIOBase):
    """Passes everything that is read through a hash."""

    def __init__(self, raw: io.FileIO, digest: Any) -> None:
        self._raw = raw
        self._digest = digest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._raw.readinto(buffer)
        if count:
            self._digest.update(memoryview(buffer)[:count])
        return count or 0

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Owning(gzip.GzipFile):
    """A gzip stream that closes the file under it; what is broken in it is an `OSError`."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        super().__init__(fileobj=source, mode="rb")

    def close(self) -> None:
        super().close()
        self._source.close()


class _Zstd(io.RawIOBase):
    """A zstd stream of any number of frames; what is broken in it, or cut off, is an `OSError`."""

    def __init__(self, source: IO[bytes], library: Any) -> None:
        self._source = source
        self._begin = library.ZstdDecompressor().decompressobj
        self._error: type[Exception] = library.ZstdError
        self._frame: Any = None
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            data = b""
            if self._frame is not None and self._frame.eof:
                data, self._frame = self._frame.unused_data, None
            data = data or self._source.read(_COMPRESSED)
            if not data:
                if self._frame is not None:
                    raise OSError("the zstd stream is cut off")
                return 0
            if self._frame is None:
                self._frame = self._begin()
            try:
                self._ready = memoryview(self._frame.decompress(data))
            except self._error as error:
                raise OSError(f"not a zstd stream: {error}") from error
        count = min(len(self._ready), len(buffer))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        self._source.close()
        super().close()
