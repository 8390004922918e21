"""A page in headless Chromium, asked through the DevTools protocol while it stays open."""

import base64
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketClientConnection, websocket_connect

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--mute-audio")


class Page:
    """One open page."""

    def __init__(self, loop: IOLoop, connection: WebSocketClientConnection) -> None:
        self._loop = loop
        self._connection = connection
        self._number = 0

    def ask(self, method: str, **parameters: object) -> dict[str, Any]:
        """Call a method of the protocol and give its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        return self._loop.run_sync(lambda: self._answer(message), timeout=60)

    def close(self) -> None:
        """Leave; within the loop, or tornado makes this thread another one that nobody closes."""

        async def leave() -> None:
            self._connection.close()

        self._loop.run_sync(leave)

    async def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        await self._connection.write_message(json.dumps(message))
        while True:
            said = json.loads(await self._connection.read_message() or "{}")
            if said.get("id") == message["id"]:
                assert "error" not in said, said
                return said["result"]

    def evaluate(self, expression: str) -> Any:
        """Give the value of a JavaScript expression, which may be a promise."""
        said = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """Write what is seen as a PNG file."""
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))


@contextmanager
def opened(url: str, folder: Path, size: str = "900,700") -> Iterator[Page]:
    """Open a page in a browser of its own."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Debian's chromium is not installed: tests/tools/debian_packages.sh chromium")
    process = subprocess.Popen(
        [
            *(chromium, *FLAGS, f"--window-size={size}", f"--user-data-dir={folder / 'profile'}"),
            *("--remote-debugging-port=0", "--remote-allow-origins=*"),
            "about:blank",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    loop = IOLoop(make_current=False)
    try:
        assert process.stderr is not None
        told = next(line for line in process.stderr if "DevTools listening on" in line)
        port = told.split(":")[2].split("/")[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            address = next(p for p in json.load(answer) if p["type"] == "page")
        connection = loop.run_sync(lambda: websocket_connect(address["webSocketDebuggerUrl"]))
        page = Page(loop, connection)
        page.ask("Page.navigate", url=url)
        yield page
        page.close()
    finally:
        process.kill()
        process.communicate()
        loop.close()
