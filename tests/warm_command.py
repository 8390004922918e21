"""The command as a process that has its imports behind it: each is forked from one that waits.

Importing takes longer than most of what tests ask for. A forked command is a process of its own in
all else: arguments, environment, output, exit code, signals, worker processes.
"""

import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

EARLY = (
    *("kidsclf.run", "kidsclf.run_command", "kidsclf.cluster.sky_map", "kidsclf.explorer.server"),
    *("dask_jobqueue", "hats", "healpy", "matplotlib.figure", "mocpy", "xgboost"),
)
"""What the command imports sooner or later."""
_MOST_BYTES = 1 << 20


class WarmProcess:
    """A command that was started, with what tests use of ``subprocess.Popen``."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self.pid = int(line.recv(64))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Give the exit code if it has ended; minus the signal that killed it."""
        if self.returncode is None and select.select([self._line], [], [], 0)[0]:
            self.returncode = os.waitstatus_to_exitcode(int(self._line.recv(64)))
            self._line.close()
        return self.returncode

    def wait(self, timeout: float = 300.0) -> int:
        """Wait until it has ended."""
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("kidsclf", timeout)
            time.sleep(0.01)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)


class WarmCommand:
    """Starts commands."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control

    def start(
        self,
        arguments: Sequence[object],
        stdout: int,
        stderr: int,
        environment: Mapping[str, str] | None = None,
    ) -> WarmProcess:
        """Start ``kidsclf`` with these arguments; it writes to these file descriptors."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = {
            "arguments": [str(each) for each in arguments],
            "environment": dict(os.environ if environment is None else environment),
            "folder": str(Path.cwd()),
        }
        with theirs:
            socket.send_fds(
                self._control,
                [json.dumps(request).encode()],
                [stdout, stderr, theirs.fileno()],
            )
        return WarmProcess(ours)


@contextmanager
def warm_command() -> Iterator[WarmCommand]:
    """Start the process that waits, and end it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        waiting = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
        theirs.close()
        try:
            yield WarmCommand(ours)
        finally:
            ours.close()
            waiting.wait(timeout=60)


def _serve(control: socket.socket) -> int:
    """Fork a command for each request until the other end hangs up."""
    for name in EARLY:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are reaped by the system
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, _MOST_BYTES, 3)
        if not message:
            return 0
        if os.fork() == 0:
            control.close()
            return _keep(json.loads(message), *descriptors)
        for each in descriptors:
            os.close(each)


def _keep(request: dict, stdout: int, stderr: int, line: int) -> int:
    """Fork the command itself, and tell its process id and, later, its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        return _run(request, stdout, stderr, line)
    os.close(stdout)
    os.close(stderr)
    os.write(line, str(child).encode())
    _, status = os.waitpid(child, 0)
    with suppress(BrokenPipeError):  # nobody asks any more
        os.write(line, str(status).encode())
    os._exit(0)


def _run(request: dict, stdout: int, stderr: int, line: int) -> int:
    import dask

    from kidsclf.run import main

    for ours, given in ((1, stdout), (2, stderr)):
        os.dup2(given, ours)
        os.close(given)
    os.close(line)
    os.setsid()  # a signal to its group reaches it and its workers alone
    # Shells let what they start in the background ignore this one.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    dask.config.refresh()  # which was read when Dask was imported
    sys.argv = ["kidsclf", *request["arguments"]]
    return main(request["arguments"])


if __name__ == "__main__":
    sys.exit(_serve(socket.socket(fileno=int(sys.argv[1]))))
