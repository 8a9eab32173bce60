"""A real headless Chromium, spoken to in the WebDriver protocol (W3C) with nothing but the standard library."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DRIVER = shutil.which("chromedriver")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = "no Chromium here: `apt-get install chromium chromium-driver` runs this test"
QUIET = ("gpu", "quic", "background-networking", "component-update", "sync", "dev-shm-usage")
LEFT, RIGHT, UP, DOWN, HOME, END, TAB = (chr(code) for code in (0xE012, 0xE014, 0xE013, 0xE015, 0xE011, 0xE010, 0xE004))


class Browser:
    """One window.

    Args:
        session: URL of the WebDriver session.
    """

    def __init__(self, session: str) -> None:
        self.session = session

    def open(self, page: Path | str) -> None:
        """A file, or a URL of this machine."""
        url = page if isinstance(page, str) else page.resolve().as_uri()
        call("POST", f"{self.session}/url", {"url": url})

    def run(self, script: str) -> Any:
        """What a piece of JavaScript returns."""
        return call("POST", f"{self.session}/execute/sync", {"script": script, "args": []})

    def press(self, keys: str) -> None:
        """Press and release keys, wherever the focus is."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        source = {"type": "key", "id": "keyboard", "actions": actions}
        call("POST", f"{self.session}/actions", {"actions": [source]})

    def resize(self, width: int, height: int) -> None:
        """Size of the page itself, as of a phone."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=True
        )

    def dark(self) -> None:
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])

    def devtools(self, command: str, **parameters: Any) -> Any:
        return call("POST", f"{self.session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def picture(self) -> bytes:
        """What the window shows, as a PNG file."""
        return base64.b64decode(call("GET", f"{self.session}/screenshot"))

    def errors(self) -> list[str]:
        """Messages of the console that are errors, since the last call: exceptions, and anything that was refused."""
        entries = call("POST", f"{self.session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]


def call(verb: str, url: str, body: dict[str, Any] | None = None) -> Any:
    """One request of the protocol."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=verb)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=120) as answer:
        return json.load(answer)["value"]


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Start Chromium without a network and end it again.

    Args:
        profile: an empty folder.
    """
    assert DRIVER and CHROMIUM, MISSING
    driver = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert driver.stdout is not None
        port = next(line.rpartition(" ")[2].strip(" .\n") for line in driver.stdout if "started successfully" in line)
        flags = [
            "--headless",
            "--no-sandbox",
            "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        ]
        flags += [f"--disable-{name}" for name in QUIET] + [f"--user-data-dir={profile}", "--window-size=1100,1250"]
        wanted = {
            "goog:chromeOptions": {"binary": CHROMIUM, "args": flags},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        url = f"http://127.0.0.1:{port}/session"
        session = call("POST", url, {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        try:
            yield Browser(f"{url}/{session}")
        finally:
            call("DELETE", f"{url}/{session}")
    finally:
        driver.terminate()
        driver.wait()
