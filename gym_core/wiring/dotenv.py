"""The `.env` file of the working directory."""

from __future__ import annotations

import os
from pathlib import Path

from gym_core.domain.errors import UsageError

NO_DOTENV_VARIABLE = "GYM_NO_DOTENV"
"""Set to anything, it leaves `.env` alone."""


def load_dotenv() -> set[str]:
    """Set the variables of `.env` that are not set yet; return their names.

    Does nothing where there is no such file, or where `GYM_NO_DOTENV` is set. Raises `UsageError` for a file that
    cannot be read.
    """
    path = Path(".env")
    # a directory of that name is somebody's virtual environment
    if os.environ.get(NO_DOTENV_VARIABLE) or not path.is_file():
        return set()
    from dotenv import dotenv_values

    try:
        values = dotenv_values(path, encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", hint=f"fix it, or set {NO_DOTENV_VARIABLE}=1") from error
    new = {name: value for name, value in values.items() if value is not None and name not in os.environ}
    os.environ.update(new)
    return set(new)
