"""A real S3 server on loopback for tests, and a line to it that can be watched and broken."""

import re
import shutil
import socket
import socketserver
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from kidsclf.config import StoreSettings
from kidsclf.places import Place, place
from kidsclf.store.publish import upload

TOOL = Path(__file__).parent / "tools" / "ceph_s3.sh"
PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin")


def missing_programs() -> list[str]:
    """Name what of the server is not installed."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


@dataclass(frozen=True)
class S3Server:
    """A running server: its address and folder."""

    address: str
    folder: Path

    def kill(self) -> None:
        """Kill the process that speaks S3; what it stored stays."""
        self._tool("kill-gateway")

    def start_again(self) -> None:
        """Start it once more, at the same address."""
        self._tool("start-gateway")

    def settings(self, **others: object) -> StoreSettings:
        """Give settings that lead here."""
        return StoreSettings(endpoint_url=self.address, **others)

    def new_bucket(self) -> Place:
        """Make an empty bucket."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        bucket = place(f"s3://{name}", self.settings())
        # Asked again: a gateway that was just killed is waited for by the one after it.
        with suppress(FileExistsError):
            bucket.fs.call_s3("create_bucket", Bucket=name)
        return bucket

    def _tool(self, command: str) -> None:
        subprocess.run(["bash", TOOL, command, self.folder], check=True, timeout=400)


@contextmanager
def running_server(folder: Path) -> Iterator[S3Server]:
    """Start a server, and stop it by the ids of its processes."""
    try:
        started = subprocess.run(
            ["bash", TOOL, "start", folder],
            stdout=subprocess.PIPE,
            text=True,
            timeout=400,
            check=True,
        )
        yield S3Server(started.stdout.strip().splitlines()[-1], folder)
    finally:
        subprocess.run(["bash", TOOL, "stop", folder], check=True, timeout=120)


def environment(user: str = "owner") -> dict[str, str]:
    """Give the credentials of a user as the environment holds them."""
    return {
        "AWS_ACCESS_KEY_ID": user,
        "AWS_SECRET_ACCESS_KEY": f"{user}-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def upload_folder(folder: Path, target: Place) -> None:
    """Copy a local folder to an object store."""
    for file in folder.rglob("*"):
        if file.is_file():
            upload(file, target / file.relative_to(folder).as_posix())


Answer = Callable[[bytes], bytes | None]
"""Takes a request; gives what to answer in place of the server, or None to ask the server."""


@dataclass
class Line:
    """A line to a server that records what passes, and breaks when told to.

    Attributes
    ----------
    answer : callable
        Whether and what to answer in the server's place.
    cuts : list of int
        For each of the next connections, after how many bytes of answers the line is cut; taken
        from the front. Connections beyond the list are sound.
    asked : list of str
        First lines of all requests, ``GET /bucket/key HTTP/1.1``.
    received : int
        Bytes of the server's answers.
    """

    address: str = ""
    answer: Answer = lambda request: None
    cuts: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    received: int = 0

    def count(self, method: str) -> int:
        """Count the requests of a method."""
        return sum(each.startswith(f"{method} ") for each in self.asked)


@contextmanager
def line_to(server: S3Server) -> Iterator[Line]:
    """Open a line to a server: one request a connection, as it closes each after the answer."""
    host, port = server.address.removeprefix("http://").split(":")
    line = Line()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            request = _whole_request(self.request)
            if not request:
                return
            line.asked.append(request.split(b"\r\n", 1)[0].decode())
            instead = line.answer(request)
            if instead is not None:
                self.request.sendall(instead)
                return
            left = line.cuts.pop(0) if line.cuts else 1 << 40
            with socket.create_connection((host, int(port))) as upstream:
                upstream.sendall(request)
                while left > 0 and (piece := upstream.recv(min(left, 1 << 16))):
                    left -= len(piece)
                    line.received += len(piece)
                    self.request.sendall(piece)

    class Lines(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """The other end may hang up first."""

    with Lines(("127.0.0.1", 0), Handler) as lines:
        line.address = f"http://127.0.0.1:{lines.server_address[1]}"
        thread = threading.Thread(target=lines.serve_forever, daemon=True)
        thread.start()
        try:
            yield line
        finally:
            lines.shutdown()
            thread.join()


def _whole_request(client: socket.socket) -> bytes:
    """Read a request whole, and ask for the connection to be closed after it."""
    request = b""
    while b"\r\n\r\n" not in request:
        piece = client.recv(1 << 16)
        if not piece:
            return b""
        request += piece
    head, _, body = request.partition(b"\r\n\r\n")
    if b"100-continue" in head.lower():
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    found = re.search(rb"(?i)content-length: *(\d+)", head)
    while len(body) < int(found[1] if found else 0):
        body += client.recv(1 << 16)
    head = re.sub(rb"(?i)\r\n(connection|expect):[^\r]*", b"", head)
    return head + b"\r\nConnection: close\r\n\r\n" + body
