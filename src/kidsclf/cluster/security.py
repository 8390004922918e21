"""Who is let in: loopback addresses on one machine, certificates between machines."""

import socket
from pathlib import Path

from distributed import Security

LOOPBACK = "127.0.0.1"

DASHBOARD_OPTIONS = {
    # Pages of other sites, open in the same browser, must not read the dashboard's live data. So a
    # tunnel has to end at the port that the dashboard has itself.
    "distributed.scheduler.dashboard.bokeh-application.allow_websocket_origin": [
        LOOPBACK,
        "localhost",
    ],
    "distributed.dashboard.link": f"http://{LOOPBACK}:{{port}}/status",
}


def dashboard_address(port: int) -> str:
    """Give the dashboard's address: loopback, on any free port where the wanted one is taken."""
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return f"{LOOPBACK}:0"
    return f"{LOOPBACK}:{port}"


def certified(folder: Path) -> Security:
    """Make a certificate for this run alone and put it where only its user can read it.

    What travels between hosts is encrypted with it, and only its holders are let in.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = Security.temporary()
    paths = {}
    for name, text in (("certificate", made.tls_ca_file), ("key", made.tls_client_key)):
        path = folder / f"{name}.pem"
        path.touch(mode=0o600)
        path.write_text(str(text), encoding="utf-8")
        paths[name] = str(path)
    parts = {
        f"tls_{role}_{part}": paths[name]
        for role in ("client", "scheduler", "worker")
        for part, name in (("cert", "certificate"), ("key", "key"))
    }
    return Security(require_encryption=True, tls_ca_file=paths["certificate"], **parts)
