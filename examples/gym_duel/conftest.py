"""Lets the tests import the package whether or not it is installed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
