"""Gym's folder for the data of a user."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

HOME_VARIABLE = "GYM_HOME"
"""The variable that names the folder of `data_folder`."""


def data_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where plugins may keep what belongs to this user: `GYM_HOME`, or where the system keeps such data."""
    variables = os.environ if environ is None else environ
    named = variables.get(HOME_VARIABLE, "")
    if named:
        return Path(os.path.abspath(os.path.expanduser(named)))
    home = Path(os.path.expanduser("~"))
    if sys.platform == "win32":
        base = Path(variables.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        # The XDG specification: a relative path is to be ignored.
        given = Path(variables.get("XDG_DATA_HOME") or "")
        base = given if given.is_absolute() else home / ".local" / "share"
    return base / "gym"
