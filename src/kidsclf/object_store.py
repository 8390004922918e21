"""S3 that waits for a server or a network to come back: all waiting of the program is done here.

Every request goes through one method. What passes (refused and broken connections, timeouts,
throttling, answers 5xx) is asked again, with growing pauses, until the patience is over; what does
not pass (no such object, no permission) is raised at once, as the ``OSError`` that a file gives.
"""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

from aiohttp import ClientError as LineError
from botocore.exceptions import BotoCoreError, HTTPClientError
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.parsers import ResponseParserError
from fsspec.asyn import _run_coros_in_chunks, sync, sync_wrapper
from s3fs import S3FileSystem

from kidsclf.errors import StoreError

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
_DELETED_AT_ONCE = 16
_NOT_IMPLEMENTED = 501
_OTHERWISE = frozenset({404, 409, 412})
"""Answers to a write whose condition does not hold: nothing there, a rival write, else."""
_BUSY = frozenset(
    {
        *("SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded"),
        *("RequestTimeout", "RequestTimeTooSkewed", "BandwidthLimitExceeded"),
    }
)


class AwayError(StoreError, OSError):
    """An object store that did not answer while there was patience."""


class RefusedError(StoreError, PermissionError):
    """An object store that does not let this user do what was asked."""


class NoBucketError(StoreError, FileNotFoundError):
    """A bucket that is not there."""


class PatientS3FileSystem(S3FileSystem):  # type: ignore[misc]
    """``s3fs`` with patience.

    Parameters
    ----------
    patience_seconds : float
        How long a request is repeated before it is given up.
    timeout_seconds : float
        How long one attempt may wait for a connection, and for the next bytes of an answer.
    region : str or None
    **options
        Those of ``s3fs.S3FileSystem``.
    """

    retries = 1  # of s3fs itself: its waiting and botocore's would multiply with ours

    def __init__(
        self,
        patience_seconds: float = 90.0,
        timeout_seconds: float = 20.0,
        region: str | None = None,
        **options: Any,
    ) -> None:
        self.patience_seconds = patience_seconds
        options.setdefault("use_listings_cache", False)  # other processes write here
        options.setdefault("default_cache_type", "none")  # a read is one request of its own size
        client = {"region_name": region} if region else {}
        config = {
            "retries": {"total_max_attempts": 1},
            "connect_timeout": timeout_seconds,
            "read_timeout": timeout_seconds,
            # Servers other than Amazon's do not all know the checksums that botocore adds.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        }
        super().__init__(client_kwargs=client, config_kwargs=config, **options)

    async def _call_s3(self, method: str, *positional: Any, **keywords: Any) -> Any:
        """Ask once or more often; a body that is fetched is read whole before it counts."""
        started, pause = time.monotonic(), FIRST_PAUSE_SECONDS
        while True:
            try:
                answer = await super()._call_s3(method, *positional, **keywords)
                if method == "get_object":
                    answer["Body"] = await _fetched(answer["Body"])
            except Exception as error:
                waited = time.monotonic() - started
                if not passes(error):
                    told = _explained(error, _asked(keywords))
                    if told is None:
                        raise
                    raise told from error
                if waited + pause > self.patience_seconds:
                    raise AwayError(
                        f"{_asked(keywords)} was asked for, but the object store did not answer "
                        f"in {waited:.0f} s ({_reason(error)}); see that it and the network are "
                        f"up and that store.endpoint_url is right, then give the same command again"
                    ) from error
            else:
                return answer
            # Without a share of chance all workers would come back at the same moment.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    call_s3 = sync_wrapper(_call_s3)  # that of s3fs would go past ours

    def write_if(self, name: str, content: bytes, etag: str | None) -> str | None:
        """Write a small file on a condition.

        Parameters
        ----------
        name : str
        content : bytes
        etag : str or None
            What must be there: a file with this ETag, or none.

        Returns
        -------
        str or None
            The ETag written; None where something else is there.
        """
        bucket, key, _ = self.split_path(name)
        # Ceph (16.2) compares with what stands within the quotes, others with the quotes.
        conditions: list[dict[str, str]] = [{"IfNoneMatch": "*"}]
        if etag is not None:
            conditions = [{"IfMatch": etag}, {"IfMatch": etag.strip('"')}]
        for condition in conditions:
            try:
                asked = {"Bucket": bucket, "Key": key, "Body": content, **condition}
                return str(self.call_s3("put_object", **asked)["ETag"])
            except OSError as error:
                if _status(_answer_of(error)) not in _OTHERWISE:
                    raise
        return None

    def read_dated(self, name: str) -> tuple[bytes, str, float]:
        """Read a small file; give its content, its ETag and its age in seconds, by the server."""
        bucket, key, _ = self.split_path(name)
        answer = self.call_s3("get_object", Bucket=bucket, Key=key)
        content = sync(self.loop, answer["Body"].read)
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return content, str(answer["ETag"]), (now - answer["LastModified"]).total_seconds()

    def remove_files(self, names: Sequence[str]) -> None:
        """Remove files one by one, several at a time: not all servers know lists of them."""
        sync(self.loop, self._remove_files, names)

    async def _remove_files(self, names: Sequence[str]) -> None:
        tasks = [self._rm_file(name) for name in names]
        await _run_coros_in_chunks(tasks, batch_size=_DELETED_AT_ONCE)


async def _fetched(body: Any) -> "_Fetched":
    try:
        return _Fetched(await body.read())
    finally:
        body.close()


class _Fetched:
    """A body that has arrived."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def read(self, size: int = -1) -> bytes:
        """Give the next bytes, or all that are left."""
        size = len(self._content) if size < 0 else size
        some, self._content = self._content[:size], self._content[size:]
        return some

    def close(self) -> None:
        """Let go of it."""
        self._content = b""


def passes(error: BaseException) -> bool:
    """Say whether the same request may succeed later."""
    answer = _answer_of(error)
    if answer is None:
        transport = (HTTPClientError, BotoConnectionError, ResponseParserError, LineError)
        return isinstance(error, (*transport, OSError)) and not isinstance(
            error, FileNotFoundError | PermissionError | FileExistsError
        )
    status = _status(answer)
    return (
        (status >= 500 and status != _NOT_IMPLEMENTED)
        or status == 429
        or answer["Error"]["Code"] in _BUSY
    )


def _status(answer: Any) -> int:
    return int(answer["ResponseMetadata"]["HTTPStatusCode"]) if answer else 0


def _answer_of(error: BaseException) -> Any:
    """Find what the server said: s3fs turns it to an ``OSError`` whose cause holds it."""
    for each in (error, error.__cause__):
        answer = getattr(each, "response", None)
        if isinstance(answer, dict) and "Error" in answer:
            return answer
    return None


def _explained(error: Exception, asked: str) -> Exception | None:
    """Say what is wrong with the request in our words; None where the error says it as a file's."""
    answer = _answer_of(error)
    code = answer["Error"]["Code"] if answer else ""
    if code == "NoSuchBucket":
        return NoBucketError(
            f"{asked} was asked for, but there is no such bucket; make it, or correct the path"
        )
    if isinstance(error, PermissionError) or "redential" in type(error).__name__:
        return RefusedError(
            f"{asked} was asked for, but the object store does not allow it ({_reason(error)}); "
            f"check the credentials in the environment or ~/.aws (store.profile) and their rights"
        )
    if isinstance(error, BotoCoreError):
        return StoreError(
            f"{asked} was asked for, but S3 cannot be used so ({_reason(error)}); correct [store] "
            f"or the settings of AWS in the environment"
        )
    return None


def _asked(keywords: Mapping[str, Any]) -> str:
    key = keywords.get("Key") or keywords.get("Prefix") or ""
    return f"s3://{keywords.get('Bucket', '')}/{key}"


def _reason(error: BaseException) -> str:
    return (str(error) or type(error).__name__).rstrip(".")
