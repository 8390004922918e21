"""Requests of a browser, guarded, turned into questions, and their answers sent."""

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import Any

from tornado.web import Application, HTTPError, RequestHandler

from kidsclf.errors import ConfigError, KidsclfError
from kidsclf.explorer.answers import Answers
from kidsclf.explorer.files import PageFile
from kidsclf.explorer.guard import HEADERS, Guard

Answer = Callable[[Any], Any]
LongAnswer = Callable[..., Any]
"""Takes also ``gone``, which says whether nobody waits any more."""
_LOG = logging.getLogger(__name__)


def application(
    answers: Answers,
    guard: Guard,
    files: Mapping[str, PageFile],
    threads: Executor,
    writing: Executor,
) -> Application:
    """Put questions and files behind their paths; what has no path is refused.

    Questions are answered by ``threads``, verdicts kept by ``writing``: they wait for no question.
    """
    shared = {"guard": guard, "threads": threads}
    long: dict[str, LongAnswer] = {
        "/api/run": answers.run,
        "/api/view": answers.view,
        "/api/list": answers.uncertain,
    }
    return Application(
        [
            *((path, _Long, shared | {"answer": each}) for path, each in long.items()),
            ("/api/source", _Asked, shared | {"answer": answers.source}),
            ("/api/stamp", _Picture, shared | {"answer": answers.stamp}),
            ("/api/verdict", _Verdict, shared | {"threads": writing, "answer": answers.judge}),
            ("/.*", _File, shared | {"files": files}),
        ],
        default_handler_class=_Guarded,
        default_handler_args=shared,
        log_function=_log,
    )


class _Guarded(RequestHandler):
    """Answers nobody but the browser that has the key."""

    def initialize(self, guard: Guard, threads: Executor) -> None:
        self._guard = guard
        self._threads = threads
        self._gone = threading.Event()
        self._task: Future[Any] | None = None

    def on_connection_close(self) -> None:
        """Give up what nobody waits for: at once where it waits itself, else at its next look."""
        self._gone.set()
        if self._task is not None:
            self._task.cancel()

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        for name, value in HEADERS.items():
            self.set_header(name, value)
        self.set_header("Cache-Control", "no-store")

    def prepare(self) -> None:
        said = self._guard.refuses_host(self.request.host)
        if said is not None:
            raise _refusal(HTTPStatus.FORBIDDEN, said)
        if not self._guard.is_key(self.get_cookie(self._guard.cookie)):
            raise _refusal(
                HTTPStatus.FORBIDDEN,
                "the explorer was asked without its key; open the address that it has printed",
            )

    def write_error(self, status_code: int, **details: Any) -> None:
        """Send one sentence."""
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(json.dumps({"error": _sentence(status_code, details.get("exc_info"))}))

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Keep the traceback of what is a defect; a refusal is none."""
        if (
            not isinstance(value, HTTPError | KidsclfError)
            and typ is not None
            and value is not None
        ):
            _LOG.error("a request failed", exc_info=(typ, value, tb))

    async def answered(self, answer: Answer, given: Any) -> Any:
        """Have a question answered beside the loop, which goes on taking requests."""
        try:
            self._task = self._threads.submit(answer, given)
            return await asyncio.wrap_future(self._task)
        except asyncio.CancelledError as error:
            raise _refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the explorer was stopped") from error
        except ConfigError as error:
            raise _refusal(HTTPStatus.BAD_REQUEST, str(error)) from error
        except KidsclfError as error:
            raise _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)) from error

    def given(self) -> dict[str, str]:
        """Read the parameters of the request, each of which may stand once."""
        found = {}
        for name, values in self.request.query_arguments.items():
            if len(values) > 1:
                raise _refusal(
                    HTTPStatus.BAD_REQUEST,
                    f"the parameter {name[:40]!r} was given {len(values)} times; give it once",
                )
            try:
                found[name] = values[0].decode("utf-8")
            except UnicodeDecodeError:
                raise _refusal(
                    HTTPStatus.BAD_REQUEST,
                    f"the parameter {name[:40]!r} was given as no UTF-8; give a text",
                ) from None
        return found


class _Asked(_Guarded):
    """A question whose answer is a record."""

    def initialize(self, guard: Guard, threads: Executor, answer: Answer) -> None:  # type: ignore[override]
        super().initialize(guard, threads)
        self._answer = answer

    async def get(self) -> None:
        self.send(await self.answered(self._answer, self.given()))

    def send(self, record: Any) -> None:
        """Send a record as JSON."""
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(json.dumps(record, allow_nan=False))


class _Long(_Asked):
    """A question over many partitions, which is left off when nobody waits any more."""

    def initialize(self, guard: Guard, threads: Executor, answer: LongAnswer) -> None:  # type: ignore[override]
        super().initialize(guard, threads, partial(answer, gone=self.has_gone))

    def has_gone(self) -> bool:
        """Say whether the browser has hung up."""
        return self._gone.is_set()


class _Picture(_Asked):
    """A question whose answer is a picture."""

    async def get(self) -> None:
        picture = await self.answered(self._answer, self.given())
        if picture is None:
            raise _refusal(HTTPStatus.NOT_FOUND, "the stamp was asked for, but it has no image")
        self.set_header("Content-Type", "image/png")
        self.finish(picture)


class _Verdict(_Asked):
    """A verdict, which is written down, whether or not its page waits for that."""

    def on_connection_close(self) -> None:
        """Go on."""

    async def get(self) -> None:
        raise HTTPError(HTTPStatus.METHOD_NOT_ALLOWED)

    async def post(self) -> None:
        said = self._guard.refuses_write(self.request.headers, self.request.body)
        if said is not None:
            raise _refusal(HTTPStatus.FORBIDDEN, said)
        try:
            given = json.loads(self.request.body)
        except (ValueError, RecursionError):
            raise _refusal(
                HTTPStatus.BAD_REQUEST, "a verdict was given, but it is no JSON; mend it"
            ) from None
        self.send(await self.answered(self._answer, given))


class _File(_Guarded):
    """A file of the page; the first of them takes the key."""

    def initialize(  # type: ignore[override]
        self, guard: Guard, threads: Executor, files: Mapping[str, PageFile]
    ) -> None:
        super().initialize(guard, threads)
        self._files = files

    def prepare(self) -> None:
        if self.request.path != "/" or self._guard.refuses_host(self.request.host):
            return super().prepare()
        given = self.request.query_arguments.get("key", [b""])[0].decode("ascii", "replace")
        if not self._guard.is_key(given):
            return super().prepare()
        self.set_cookie(self._guard.cookie, self._guard.key, httponly=True, samesite="Strict")
        self.redirect("/")  # so that the key stands in no history
        return None

    def get(self) -> None:
        file = self._files.get(self.request.path)
        if file is None:
            raise _refusal(HTTPStatus.NOT_FOUND, "the explorer has no such page; go to /")
        self.set_header("Content-Type", file.kind)
        self.set_header("Cache-Control", "no-cache")
        self.finish(file.content)


def _refusal(status: HTTPStatus, said: str) -> HTTPError:
    # Tornado formats a message with its arguments: a per cent sign in it must stay one.
    return HTTPError(status, "%s", said)


def _sentence(status: int, raised: Any) -> str:
    error = raised[1] if raised else None
    if isinstance(error, HTTPError) and error.args:
        return str(error.args[0])
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return "this cannot be asked for in that way; use the explorer's own page"
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return "the request was not understood; use the explorer's own page"
    return "this went wrong and is a defect of the program; its traceback stands in the terminal"


def _log(handler: RequestHandler) -> None:
    """Say nothing of requests: whoever looks at a page sees what it was answered."""
