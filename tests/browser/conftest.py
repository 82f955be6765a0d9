"""A real browser, without a window, spoken to over the DevTools protocol; tests are skipped where there is none."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket  # websocket-client, which Jupyter's server brings

from studies.local_federation.processes import free_ports

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "microsoft-edge")
PATIENCE_S = 300.0  # how long anything may take to appear: a crowded machine is no fault
KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "ArrowUp": 38, "ArrowDown": 40, "Home": 36, "End": 35}


class Page:
    """One tab: open a page, ask it, press, click, look.

    `requests` are the addresses it asked for, `errors` its faults, `frames` what came over its web sockets.
    """

    def __init__(self, address: str, *, downloads: Path) -> None:
        self.socket = websocket.create_connection(address, timeout=PATIENCE_S, suppress_origin=True)
        self.count = 0
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.frames: list[bytes] = []
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
        elif method == "Runtime.consoleAPICalled" and facts["type"] == "error":
            self.errors.append(json.dumps(facts["args"])[:600])
        elif method == "Network.webSocketFrameReceived":
            frame = facts["response"]
            text = frame["payloadData"]
            self.frames.append(text.encode() if frame["opcode"] == 1 else base64.b64decode(text))
        elif method == "Log.entryAdded" and facts["entry"]["level"] == "error":
            self.errors.append(f"{facts['entry']['text']} {facts['entry'].get('url', '')}")

    def open(self, path: Path | str) -> None:
        """Go to a file or an address, and wait until it is loaded."""
        address = path if isinstance(path, str) else path.as_uri()
        self.send("Page.navigate", url=address)
        self.wait(f"document.readyState === 'complete' && location.href === {json.dumps(address)}")

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
            process.wait(60)
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def jupyterlab(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address of a JupyterLab that runs for the whole session, and the folder whose notebooks it shows.

    It reads nobody's settings, asks for no password (it listens on this machine only) and fetches no news.
    """
    home, notebooks = tmp_path_factory.mktemp("jupyter"), tmp_path_factory.mktemp("notebooks")
    settings = home / "labconfig" / "page_config.json"
    settings.parent.mkdir()
    news = {"@jupyterlab/apputils-extension:announcements": True}
    settings.write_text(json.dumps({"disabledExtensions": news, "buildCheck": False, "buildAvailable": False}))
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "HOME")
    environment = {**os.environ, **dict.fromkeys(places, str(home))}
    environment.pop("SARCNET_HEADLESS", None)
    (port,) = free_ports(1)
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"),
        *("--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={notebooks}"),
        *("--LabApp.expose_app_in_browser=True", "--ServerApp.jpserver_extensions={'jupyterlab': True}"),
    ]
    with (home / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            address, end = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE_S
            while not _answers(f"{address}/api"):
                assert process.poll() is None, (home / "log.txt").read_text()
                assert time.monotonic() < end, f"JupyterLab does not answer: {(home / 'log.txt').read_text()}"
                time.sleep(0.1)
            yield address, notebooks
        finally:
            process.send_signal(signal.SIGTERM)  # ends its kernels too
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
            if process.poll() is None:
                process.kill()
                process.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=20) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


@pytest.fixture
def tab(chromium: str, tmp_path: Path) -> Iterator[Page]:
    """A fresh tab whose downloads land in tmp_path / "downloads"."""
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
