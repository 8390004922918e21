"""The server: on loopback alone, until it is told to stop."""

import asyncio
import errno
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from tornado.httpserver import HTTPServer

from kidsclf.errors import ConfigError
from kidsclf.explorer.answers import Answers
from kidsclf.explorer.catalogue import open_explored
from kidsclf.explorer.files import page_files
from kidsclf.explorer.guard import Guard
from kidsclf.explorer.handlers import application
from kidsclf.explorer.verdicts import open_verdicts
from kidsclf.store.layout import WorkDirectory

_LOOPBACK = "127.0.0.1"
_HIGHEST_PORT = 65_535
_THREADS = 4
"""A browser asks for a view, a list and a source at once; a fourth is for the next one."""
_LARGEST_REQUEST = 1024**2
_PATIENCE_SECONDS = 30.0


def serve(
    work: WorkDirectory, port: int, announce: Callable[[str], None], *, read_only: bool
) -> None:
    """Serve the explorer of a run until Ctrl-C or SIGTERM.

    Parameters
    ----------
    work : WorkDirectory
    port : int
        0 takes a free one.
    announce : callable
        Is given the address, once it answers.
    read_only : bool
        No verdicts are taken, and the work directory is not written to.

    Raises
    ------
    ConfigError
        When there is no run, or the port is not to be had.
    StoreError
        When the run is not finished, or another explorer of it takes verdicts.
    """
    explored = open_explored(work)
    with ExitStack() as held:
        door = held.enter_context(_bound(port))
        verdicts = None if read_only else held.enter_context(open_verdicts(work))
        answers = Answers(explored, verdicts)
        asyncio.run(_answer_until_told(answers, door, announce))


def _bound(port: int) -> socket.socket:
    if not 0 <= port <= _HIGHEST_PORT:
        raise ConfigError(
            f"--port {port} was asked for, but ports go from 1 to {_HIGHEST_PORT}; give one of "
            f"them, or 0 for any that is free"
        )
    try:
        door = socket.create_server((_LOOPBACK, port))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "another program has it" if taken else error.strerror or str(error)
        raise ConfigError(
            f"--port {port} was asked for, but it is not to be had ({why}); give another, or 0 for "
            f"any that is free"
        ) from error
    door.setblocking(False)
    return door


async def _answer_until_told(
    answers: Answers, door: socket.socket, announce: Callable[[str], None]
) -> None:
    told, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    guard = Guard(door.getsockname()[1])
    threads, writing = ThreadPoolExecutor(_THREADS, "explorer"), ThreadPoolExecutor(1, "verdicts")
    server = HTTPServer(
        application(answers, guard, page_files(), threads, writing),
        max_body_size=_LARGEST_REQUEST,
        body_timeout=_PATIENCE_SECONDS,
    )
    server.add_socket(door)
    announce(guard.address)
    await told.wait()
    _end_hard_if_told_again(loop)
    server.stop()
    await server.close_all_connections()  # by which questions under way know that they may end
    threads.shutdown(wait=False, cancel_futures=True)
    await asyncio.to_thread(writing.shutdown)  # verdicts that were given are kept


def _end_hard_if_told_again(loop: asyncio.AbstractEventLoop) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)
