"""A running explorer, and questions to it."""

import http.client
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def record(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Running:
    """A server that answers: its process, port and key."""

    process: Any
    address: str

    @property
    def port(self) -> int:
        return int(re.search(r":(\d+)/", self.address)[1])

    @property
    def cookie(self) -> str:
        return f"kidsclf-{self.port}={self.address.partition('key=')[2]}"

    def send(self, method: str, target: str, body: bytes | None = None, **headers: str) -> Reply:
        """Send a request as it stands, with these headers alone."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            line.request(method, target, body, named)
            answer = line.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            line.close()

    def get(self, path: str, **parameters: Any) -> Reply:
        """Ask as the page does."""
        return self.send("GET", f"{path}?{urlencode(parameters)}", Cookie=self.cookie)

    def judge(self, source: dict[str, Any], verdict: str | None, **headers: str) -> Reply:
        """Give a verdict as the page does."""
        given = {"index": source["_healpix_29"], "name": source["name"], "verdict": verdict}
        own = {"Cookie": self.cookie, "Content_Type": "application/json"}
        body = json.dumps(given).encode()
        return self.send("POST", "/api/verdict", body, **(own | headers))


@contextmanager
def running_explorer(warm: Any, work: Path, log: Path, *options: str) -> Iterator[Running]:
    """Start ``kidsclf serve`` on a free port, and end it as Ctrl-C does."""
    with log.open("w+") as out:
        arguments = ("serve", work, "--port", "0", *options)
        process = warm.start(arguments, out.fileno(), out.fileno())
        try:
            while not (found := re.search(r"^explorer (http\S+)$", log.read_text(), re.MULTILINE)):
                assert process.poll() is None, log.read_text()
                time.sleep(0.02)
            yield Running(process, found[1])
            process.terminate()
            assert process.wait(30) == 0, log.read_text()
        finally:
            process.kill()
