"""A headless Chromium that is driven: its DevTools protocol, spoken over a WebSocket.

``with open_page(program, folder) as page: page.go(address); page.evaluate("document.title")``
"""

import asyncio
import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tornado.websocket import WebSocketClientConnection, websocket_connect

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    # Nothing but this machine exists for the browser, so it cannot run errands of its own either.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
_LARGEST_MESSAGE = 64 * 1024**2
_PATIENCE_SECONDS = 60.0
_LOUD = ("error", "warning", "assert")
"""What a page says to its console that is no mere remark."""


class Page:
    """One tab: what it is told to do, what it asked for, and what its console said."""

    def __init__(self, line: WebSocketClientConnection, loop: asyncio.AbstractEventLoop) -> None:
        self._line, self._loop, self._number = line, loop, 0
        self.requests: list[str] = []
        self.console: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        return self._loop.run_until_complete(self._exchange(message))

    async def _exchange(self, message: dict[str, Any]) -> dict[str, Any]:
        await self._line.write_message(json.dumps(message))
        while True:
            text = await asyncio.wait_for(self._line.read_message(), _PATIENCE_SECONDS)
            assert text is not None, "the browser has hung up"
            answer = json.loads(text)
            if answer.get("id") == message["id"]:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer.get("method"), answer.get("params", {}))

    def _note(self, event: str | None, told: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif event in ("Runtime.exceptionThrown", "Log.entryAdded") or told.get("type") in _LOUD:
            self.console.append(json.dumps(told))

    def go(self, address: str) -> None:
        """Open an address."""
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def evaluate(self, script: str) -> Any:
        """Evaluate an expression in the page; a promise is waited for."""
        told = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def until(self, script: str, seconds: float = _PATIENCE_SECONDS) -> Any:
        """Wait until an expression is true, and give it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.evaluate(script)
            if found:
                return found
            time.sleep(0.03)
        raise AssertionError(f"not in {seconds:g} s: {script}; console: {self.console}")

    def key(self, key: str) -> None:
        """Press a key and let it go."""
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Tell of the mouse, by the protocol's name of what it did."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x: float, y: float) -> None:
        """Click at a place of the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", buttons=1, clickCount=1)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag from one place to another."""
        self.mouse("mousePressed", *start, button="left", buttons=1, clickCount=1)
        for part in (0.25, 0.5, 0.75, 1.0):
            x, y = (a + part * (b - a) for a, b in zip(start, end, strict=True))
            self.mouse("mouseMoved", x, y, button="left", buttons=1)
        self.mouse("mouseReleased", *end, button="left", buttons=0, clickCount=1)

    def window(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """Give the page a size, and a scheme of colours."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path) -> None:
        """Write what the window shows as PNG."""
        found = self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(found["data"]))


@contextmanager
def open_page(chromium: str, folder: Path) -> Iterator[Page]:
    """Start a browser with a profile of its own, and end it."""
    profile, loop = folder / "profile", asyncio.new_event_loop()
    command = [chromium, *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-port=0"]
    with (folder / "chromium.log").open("w") as log:
        browser = subprocess.Popen([*command, "about:blank"], stdout=log, stderr=log)
    try:
        line = loop.run_until_complete(_connected(profile / "DevToolsActivePort"))
        page = Page(line, loop)
        for domain in ("Page", "Network", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        yield page
        loop.run_until_complete(_left(line))
    finally:
        browser.terminate()
        browser.wait(30)
        loop.close()


async def _left(line: WebSocketClientConnection) -> None:
    """Hang up; within the loop, or tornado makes this thread another one that nobody closes."""
    line.close()
    await asyncio.sleep(0)


async def _connected(ready: Path) -> WebSocketClientConnection:
    end = time.monotonic() + _PATIENCE_SECONDS
    while not (ready.exists() and ready.read_text().count("\n")):
        assert time.monotonic() < end, "the browser has not started"
        await asyncio.sleep(0.05)
    port = ready.read_text().split("\n")[0]
    pages = _asked(f"http://127.0.0.1:{port}/json/list")
    (address,) = [each["webSocketDebuggerUrl"] for each in pages if each["type"] == "page"]
    return await websocket_connect(address, max_message_size=_LARGEST_MESSAGE)


def _asked(address: str) -> Any:
    ask: Callable[..., Any] = urlopen
    with ask(address) as answer:
        return json.load(answer)
