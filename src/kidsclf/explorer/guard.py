"""Who may ask: the browser that was given the address, of a page of this very server.

Every user of a machine reaches its loopback, and every web page can have a browser send requests
there. So the address that is printed holds a key, which becomes a cookie that other sites cannot
use; the Host header must be ours, or a page elsewhere could take our name for its own (DNS
rebinding); and a verdict is taken only from a page of ours.

Against a person who has a server of their own on the same machine this is no protection if the
same browser goes there: cookies know no ports, so it is sent the key.
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Of every answer. Scripts come from files of ours alone; styles also from elements, as BokehJS
makes them."""

MOST_BODY_BYTES = 4096
_UNNAMED_PORT = 80
"""Browsers leave it out of their headers."""


@dataclass(frozen=True)
class Guard:
    """Knows the key and the names of one server."""

    port: int
    key: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def address(self) -> str:
        """Where a browser is to go first."""
        return f"http://127.0.0.1:{self.port}/?key={self.key}"

    @property
    def cookie(self) -> str:
        """Name of the cookie; browsers send it to all ports of the machine."""
        return f"kidsclf-{self.port}"

    def is_key(self, given: str | None) -> bool:
        """Compare in a time that tells nothing."""
        return given is not None and hmac.compare_digest(given.encode(), self.key.encode())

    def refuses_host(self, host: str) -> str | None:
        """Say why a request with this Host header is not answered; None where it is."""
        if host in self._hosts():
            return None
        return (
            f"the explorer was asked for as {host[:60]!r}, but answers to "
            f"{' and '.join(self._hosts())} alone; give the same port at both ends of a tunnel"
        )

    def refuses_write(self, headers: Mapping[str, str], body: bytes) -> str | None:
        """Say why a verdict is not taken from the page that sent it; None where it is."""
        origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
        if origin not in (None, *(f"http://{host}" for host in self._hosts())):
            return "a verdict was given by a page of another site; use the explorer's own"
        if site not in (None, "same-origin"):
            return "a verdict was given by a page of another site; use the explorer's own"
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return "a verdict was given, but not as application/json; use the explorer's own page"
        if len(body) > MOST_BODY_BYTES:
            return (
                f"a verdict of {len(body):,} bytes was given, but it takes at most "
                f"{MOST_BODY_BYTES:,}; use the explorer's own page"
            )
        return None

    def _hosts(self) -> tuple[str, str]:
        port = "" if self.port == _UNNAMED_PORT else f":{self.port}"
        return f"127.0.0.1{port}", f"localhost{port}"
