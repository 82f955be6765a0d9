"""A real browser, without a window, spoken to over the DevTools protocol; tests are skipped where there is none."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket  # websocket-client, which Jupyter's server brings

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "microsoft-edge")
PATIENCE_S = 20.0
KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "ArrowUp": 38, "ArrowDown": 40}


class Page:
    """One tab: open a page, ask it, press, click, look. `requests` are the addresses it asked for, `errors` its faults."""

    def __init__(self, address: str, *, downloads: Path) -> None:
        self.socket = websocket.create_connection(address, timeout=PATIENCE_S, suppress_origin=True)
        self.count = 0
        self.requests: list[str] = []
        self.errors: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")
        self.send("Emulation.setDeviceMetricsOverride", width=1200, height=900, deviceScaleFactor=1, mobile=False)
        self.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        self.requests.clear()

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            self.note(message)
            if message.get("id") == self.count:
                if "error" in message:
                    raise AssertionError(f"{method}: {message['error']['message']}")
                return message["result"]

    def note(self, message: dict[str, Any]) -> None:
        method, facts = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(facts["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(facts["exceptionDetails"])[:600])
        elif method == "Log.entryAdded" and facts["entry"]["level"] == "error":
            self.errors.append(f"{facts['entry']['text']} {facts['entry'].get('url', '')}")

    def open(self, path: Path) -> None:
        self.send("Page.navigate", url=path.as_uri())
        self.wait(f"document.readyState === 'complete' && location.href === {json.dumps(path.as_uri())}")

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression; a promise is awaited."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise AssertionError(f"{expression}: {json.dumps(found['exceptionDetails'])[:600]}")
        return found["result"].get("value")

    def wait(self, expression: str, *, seconds: float = PATIENCE_S) -> None:
        end = time.monotonic() + seconds
        while not self.evaluate(f"Boolean({expression})"):
            assert time.monotonic() < end, f"not within {seconds:g} s: {expression}"
            time.sleep(0.02)

    def press(self, key: str) -> None:
        text = key if len(key) == 1 else ""
        code = KEYS.get(key) or ord(key.upper())
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, text=text, windowsVirtualKeyCode=code)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, selector: str) -> None:
        """Press the left button in the middle of an element, scrolled into view."""
        box = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center'}});"
            " const b = e.getBoundingClientRect(); return [b.left + b.width / 2, b.top + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, *box, button="left", clickCount=1)

    def picture(self, path: Path | None = None) -> bytes:
        """What is seen, as PNG."""
        data = base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])
        if path:
            path.write_bytes(data)
        return data


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of a browser that runs for the whole session."""
    program = os.environ.get("SARCNET_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on PATH, nor is SARCNET_BROWSER set")
    home = tmp_path_factory.mktemp("browser")
    switches = [
        "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={home}", "--no-first-run", "--disable-gpu",
        "--disable-dev-shm-usage", "--disable-background-networking", "--force-color-profile=srgb",
    ]  # fmt: skip
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        switches.append("--no-sandbox")  # a container's root has no other choice
    process = subprocess.Popen([program, *switches], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = home / "DevToolsActivePort"
        end = time.monotonic() + PATIENCE_S
        while not (port.is_file() and port.read_text().count("\n")):
            assert process.poll() is None, f"{program} ended at once with {process.returncode}"
            assert time.monotonic() < end, f"{program} opens no DevTools port"
            time.sleep(0.05)
        yield f"127.0.0.1:{port.read_text().split()[0]}"
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture
def tab(chromium: str, tmp_path: Path) -> Iterator[Page]:
    """A fresh tab whose downloads land in tmp_path / "downloads"."""
    import urllib.request

    asked = urllib.request.Request(f"http://{chromium}/json/new?about:blank", method="PUT")
    with urllib.request.urlopen(asked) as reply:
        facts = json.load(reply)
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    page = Page(facts["webSocketDebuggerUrl"], downloads=downloads)
    yield page
    page.socket.close()
    with urllib.request.urlopen(f"http://{chromium}/json/close/{facts['id']}") as reply:
        reply.read()
