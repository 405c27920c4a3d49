"""Takes docs/images/viewer.png of a real run, with headless Chromium.

    python scripts/screenshot.py

It runs the local model on an environment, opens `gym view` over what came of it, and shows the page of the run.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "viewer.png"
RUN = "--model local --env simple_weather --limit 16 --repeats 2 --output weather.jsonl --quiet"
SIZE = {"width": 1280, "height": 1000}
COLOURS = 128
"""Of the picture's palette: a page has few, and a file of them is a quarter as large."""


def main() -> None:
    """Run, look, write."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        sys.exit("there is no Chromium on this machine: apt-get install -y chromium")
    gym = [sys.executable, "-m", "gym_core"]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*gym, "run", *RUN.split()], cwd=folder, check=True)
        viewer = subprocess.Popen(
            [*gym, "view", ".", "--port", "0", "--no-browser"], cwd=folder, stdout=subprocess.PIPE, text=True
        )
        try:
            assert viewer.stdout is not None
            found = re.search(r"http://\S+token=\S+", viewer.stdout.readline())
            assert found is not None
            PICTURE.write_bytes(small(taken(found[0], browser)))
        finally:
            viewer.terminate()
            viewer.wait()


def taken(url: str, browser: str) -> bytes:
    """The page of the run as a picture."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=browser)
        page = running.new_page(viewport=SIZE, color_scheme="light")  # type: ignore[arg-type]
        page.goto(url)
        page.locator("tbody .name").first.click()
        page.locator(".list .row .task").first.wait_for()
        page.wait_for_timeout(500)
        picture = page.screenshot()
        running.close()
    return picture


def small(picture: bytes) -> bytes:
    """The same with a palette."""
    from PIL import Image

    out = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(
        out, "PNG", optimize=True
    )
    return out.getvalue()


if __name__ == "__main__":
    main()
