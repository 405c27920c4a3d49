"""What stands after the colon: the URL of a server, or the import path of one that is started here, and its venv."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re

from gym_core import UsageError, Venv
from gym_core.spi import did_you_mean

_IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*)?")
_ADDRESS = re.compile(r"[\w.-]+(:\d+)?(/\S*)?")
_URL = ("http://", "https://")
FORMS = "--env openenv:http://HOST:PORT, openenv:PACKAGE or openenv:MODULE:APP"


def is_url(text: str) -> bool:
    """Whether it names a server that runs somewhere."""
    return text.startswith(_URL)


def checked(text: str | None) -> str:
    """A URL, or an import path. Raises `UsageError` for what is neither."""
    text = (text or "").strip()
    if not text:
        raise UsageError("openenv needs a server: a URL, or the import path of one that is started here", hint=FORMS)
    if is_url(text):
        return text.rstrip("/")
    if _IMPORT_PATH.fullmatch(text):
        return text
    guess = f"--env openenv:http://{text}" if _ADDRESS.fullmatch(text) else FORMS
    raise UsageError(f"{text!r} is neither a URL nor an import path", hint=guess)


def venv_of(text: str) -> Venv | None:
    """The venv that a server has to be started in; None where all that it needs is here, or where it runs elsewhere."""
    package = text.partition(":")[0].partition(".")[0]
    if is_url(text):
        return None
    if importlib.util.find_spec("openenv") is not None:
        if importlib.util.find_spec(package) is not None:
            return None
        here = importlib.metadata.packages_distributions()
        if guess := did_you_mean(package, here, most=3, cutoff=0.8, shown="openenv:{}".format):
            raise UsageError(f"no module {package} is installed with openenv{guess}")
    # as `openenv init` calls what it makes
    return Venv(name=f"openenv:{package}", packages=("openenv", f"openenv-{package.replace('_', '-')}"))
