"""Which certificate authorities are trusted: one rule for every transport."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

from gym_openai_model.transports.base import TransportConfig, TransportUnavailable


def ssl_context(config: TransportConfig) -> ssl.SSLContext:
    """A client context that trusts the authorities of `config`, of the environment, or of the system.

    Where the system names none, certifi's are used if it is installed.

    Raises:
        TransportUnavailable: the CA file cannot be read or holds no certificate.
    """
    if not config.verify:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    file, directory = _named(config)
    try:
        context = ssl.create_default_context(cafile=file, capath=directory)
    except OSError as error:
        reason = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise TransportUnavailable(f"the CA file {file or directory} cannot be used: {reason}") from error
    if not file and not directory and not _system_names_any(context):
        with contextlib.suppress(ImportError):
            import certifi

            context.load_verify_locations(cafile=certifi.where())
    return context


def trusting(config: TransportConfig) -> Callable[[], ssl.SSLContext]:
    """What gives the context when it is needed, the same one as long as the authorities are the same.

    Raises:
        TransportUnavailable: the CA file cannot be read or holds no certificate.
    """
    file, directory = _named(config)
    named = (file, directory, os.stat(file).st_mtime_ns) if file and os.path.exists(file) else (file, directory)
    context = partial(_kept_context, TransportConfig(verify=config.verify, ca_file=config.ca_file), named)
    if file or directory:
        context()
    return context


@lru_cache(maxsize=4)  # to read the authorities takes 20 ms
def _kept_context(config: TransportConfig, named: tuple[str | int | None, ...]) -> ssl.SSLContext:
    return ssl_context(config)


def _system_names_any(context: ssl.SSLContext) -> bool:
    """Whether the system's store holds an authority."""
    # OpenSSL reads a directory only while it verifies, so a context does not list what is in it.
    folders = ssl.get_default_verify_paths().openssl_capath.split(os.pathsep)
    return bool(context.get_ca_certs()) or any(list(Path(folder).glob("*.[0-9]")) for folder in folders if folder)


def _named(config: TransportConfig) -> tuple[str | None, str | None]:
    """The (file, directory) that the configuration or else the environment names."""
    if config.ca_file:
        return config.ca_file, None
    return os.environ.get("SSL_CERT_FILE") or None, os.environ.get("SSL_CERT_DIR") or None
