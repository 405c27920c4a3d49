"""Modules that cannot be imported, each for its own reason: `FAULT` says which."""

import os
import sys

import requests

print("This is printed at import.")
fault = os.environ.get("FAULT", "")
if fault == "exit":
    sys.exit(3)
if fault == "fetch":
    requests.get("http://localhost:9/questions.parquet", timeout=5)
if fault == "key":
    os.environ["OPENAI_API_KEY"]
if fault == "gone":
    os._exit(9)
if fault == "missing":
    import no_such_module  # noqa: F401

from playground.server.app import app as app  # noqa: E402

number = 3
