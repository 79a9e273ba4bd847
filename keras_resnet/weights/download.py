"""Downloads published files once, resumes broken downloads, and checks their hashes."""

import contextlib
import functools
import hashlib
import http.client
import io
import logging
import os
import pathlib
import re
import secrets
import shutil
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from typing import Any

from keras_resnet._utils.atomic import replace_atomically
from keras_resnet.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_LOG = logging.getLogger(__name__)
# Seconds without any data until a connection counts as broken.
_TIMEOUT = 30.0
# Seconds before each retry of a download that broke off.
_PAUSES = (1.0, 3.0, 10.0)
# Seconds between two updates of the progress on a terminal.
_UPDATE_INTERVAL = 0.1
_CHUNK = 1 << 20
_HASHES: dict[str, Callable[[], Any]] = {
    "SHA-256": hashlib.sha256,
    "MD5": functools.partial(hashlib.md5, usedforsecurity=False),
}


def keras_home() -> pathlib.Path:
    """Returns the folder where Keras keeps its files, found by Keras' rules but without importing it."""
    home = os.path.expanduser("~")
    default = os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    return pathlib.Path(os.environ.get("KERAS_HOME", default)).expanduser()


def fetch(
    url: str,
    path: str | os.PathLike,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    what: str,
) -> pathlib.Path:
    """Returns the path of a published file, and downloads it first if it is not there.

    Progress goes to stderr with speed and time left if that is a terminal, and to the log at each tenth
    otherwise. Until the file is complete and verified it is called `path` with ".part"; a download that broke
    off resumes from there, in a later process as well. Several processes may fetch the same file at once.

    Args:
        url: http or https.
        path: of the file; its folder is created.
        sha256: hexadecimal digits of the hash, all or the first ones. This or `md5` is required.
        md5: hexadecimal digits of the hash.
        what: name of the content, for messages.

    Raises:
        UserError: no hash was given, the download failed, the file is not the published one, or it cannot be
            stored.
    """
    path = pathlib.Path(path)
    hashes = {name: digits.lower() for name, digits in (("SHA-256", sha256), ("MD5", md5)) if digits}
    if not hashes:
        raise UserError(
            f"required, or md5: a download of {url} without a hash is not trusted.",
            parameter="sha256",
        )
    try:
        if not path.exists() and _download(url, path, hashes, what):
            return path
        difference = _hash_difference(path, hashes)
    except OSError as error:
        raise UserError(
            f"{what} cannot be stored here ({_reason(error)}); free some space, or use a folder that can be "
            "read and written.",
            value=path,
        ) from error
    if difference:
        raise UserError(
            f"is not the published file: {difference}; remove it to download it again, or put the published "
            "file there.",
            value=path,
        )
    return path


class _Failure(Exception):
    """The server could not be reached, or its response is of no use."""


class _ConnectionLost(_Failure):
    """The connection broke off after a part of the file."""


def _download(url: str, path: pathlib.Path, hashes: dict[str, str], what: str) -> bool:
    """Downloads and verifies the file; returns False if another process has done so meanwhile."""
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise UserError(
            f"{what} can be downloaded by https and http alone; put the file at {path}.",
            parameter="url",
            value=url,
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked_part(path, what) as part:
        if path.exists():
            return False
        try:
            _download_with_retries(url, part, what)
        except _Failure as error:
            raise UserError(
                f"{what} could not be downloaded ({error}); try again with a connection, or put the file at "
                f"{path}.",
                value=url,
            ) from error
        if difference := _hash_difference(part, hashes):
            _remove(part)
            raise UserError(
                f"{what} could not be downloaded: this address returns a different file than the published "
                f"one ({difference}); try another network, or put the published file at {path}.",
                value=url,
            )
        _etag_of(part).unlink(missing_ok=True)
        replace_atomically(part, path)
    return True


@contextlib.contextmanager
def _locked_part(path: pathlib.Path, what: str) -> Iterator[pathlib.Path]:
    """Yields the path for the unfinished file, and keeps other processes from writing to it."""
    part = path.with_name(f"{path.name}.part")
    lock = _lock(part, what)
    if lock is None:
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
    except OSError:
        _remove(part)  # do not leave a full disk full
        raise
    finally:
        if lock is None:
            _remove(part)
        else:
            if _is_file_at(lock, part) and not _size(part):
                _remove(part)
            os.close(lock)


def _lock(part: pathlib.Path, what: str) -> int | None:
    """Waits for an exclusive lock, held until the descriptor is closed; None where there are no locks."""
    if fcntl is None:
        return None
    while True:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _LOG.info("%s: another process is downloading it; waiting for that", what)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # some network file systems have no locks
            os.close(descriptor)
            _remove(part)
            return None
        # The previous holder may have moved the file to its final path, or removed it.
        if _is_file_at(descriptor, part):
            return descriptor
        os.close(descriptor)


def _is_file_at(descriptor: int, part: pathlib.Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.stat(part))
    return False


def _download_with_retries(url: str, part: pathlib.Path, what: str) -> None:
    """Downloads what is missing; retries once the server has sent a part of it."""
    pauses = iter(_PAUSES)
    has_started = False
    while True:
        try:
            return _resume(url, part, what)
        except _Failure as error:
            has_started = has_started or isinstance(error, _ConnectionLost)
            pause = next(pauses, None)
            if pause is None or not has_started:
                raise
        time.sleep(pause)


def _resume(url: str, part: pathlib.Path, what: str) -> None:
    """Downloads what is missing, from the end of the part on."""
    etag = _etag_of(part).read_text() if _etag_of(part).exists() else None
    start = _size(part)
    with _request(url, start, etag) as response:
        if start and response.status != 200:
            first, total = _content_range(response.headers)
            if response.status == 416 and total == start:
                return
            if response.status != 206 or first != start:
                os.truncate(part, 0)
                return _resume(url, part, what)
        elif response.status == 200:
            start, total = 0, response.length
        else:
            raise _Failure(f"HTTP {response.status}")
        progress = _Progress(what, start, total)
        try:
            with open(part, "ab", buffering=0) as file:
                file.truncate(start)
                if start == 0:
                    _keep_etag(part, response.headers["ETag"])
                size = _receive(response, file, start, progress)
        finally:
            progress.end()
    if total is not None and size != total:
        raise _ConnectionLost(f"the connection broke off after {_mb(size)} of {_mb(total)}")


def _request(url: str, start: int, etag: str | None) -> http.client.HTTPResponse:
    """Requests a file from a byte on."""
    # A compressed response would have another length; some servers refuse urllib's user agent.
    headers = {"User-Agent": "keras-resnet", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if etag:
            headers["If-Range"] = etag
    try:
        response = urllib.request.build_opener(_Redirects()).open(
            urllib.request.Request(url, headers=headers), timeout=_TIMEOUT
        )
    except urllib.error.HTTPError as error:
        if error.code != 416:
            with error:
                raise _Failure(f"HTTP {error.code} {error.reason}") from error
        response = error
    except (OSError, http.client.HTTPException) as error:
        raise _Failure(_reason(error)) from error
    return response


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to https and http, but never from https to http."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (scheme == "http" and req.type == "https"):
            raise urllib.error.URLError(f"a redirect to {newurl}, which is not safe")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _content_range(headers: Message) -> tuple[int | None, int | None]:
    """Parses `Content-Range: bytes first-last/total`, or `bytes */total`: the first byte and the total."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)", headers["Content-Range"] or "")
    first, total = match.groups() if match else (None, None)
    return int(first) if first else None, int(total) if total else None


def _receive(response: http.client.HTTPResponse, file: io.FileIO, size: int, progress: "_Progress") -> int:
    """Appends the response to a file of this size; returns its new size."""
    while True:
        try:
            chunk = response.read1(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _ConnectionLost(f"{_reason(error)} after {_mb(size)}") from error
        if not chunk:
            return size
        size += len(chunk)
        while chunk:
            chunk = chunk[file.write(chunk) :]
        progress.update(size)


class _Progress:
    """Rewrites one line on a terminal; logs a line at each tenth elsewhere."""

    def __init__(self, what: str, start: int, total: int | None):
        self._what, self._start, self._total = what, start, total
        self._is_terminal = sys.stderr.isatty()
        self._started = time.monotonic()
        self._updated: float | None = None
        self._tenth = self._tenths(start)

    def update(self, size: int) -> None:
        """Reports the number of bytes received so far."""
        now = time.monotonic()
        if self._is_terminal:
            if self._updated is None or size == self._total or now - self._updated >= _UPDATE_INTERVAL:
                self._updated = now
                width = shutil.get_terminal_size().columns - 1
                sys.stderr.write(f"\r{self._line(size, now)[:width]:<{width}}")
                sys.stderr.flush()
        elif self._tenths(size) > self._tenth:
            self._tenth = self._tenths(size)
            _LOG.info("%s", self._line(size, now))

    def end(self) -> None:
        """Ends the line on a terminal."""
        if self._updated is not None:
            sys.stderr.write("\n")
            sys.stderr.flush()

    def _tenths(self, size: int) -> int:
        return 10 * size // self._total if self._total else 0

    def _line(self, size: int, now: float) -> str:
        speed = (size - self._start) / max(now - self._started, 1e-3)
        if self._total is None:
            return f"{self._what}: {_mb(size)}, {_mb(speed)}/s"
        left = round((self._total - size) / speed)
        return (
            f"{self._what}: {100 * size // self._total} % of {_mb(self._total)}, {_mb(speed)}/s, "
            f"{left // 60}:{left % 60:02} left"
        )


def _hash_difference(path: pathlib.Path, hashes: dict[str, str]) -> str | None:
    for name, digits in hashes.items():
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, _HASHES[name]).hexdigest()
        if not found.startswith(digits):
            return f"its {name} begins with {found[:8]}, not {digits[:8]}"
    return None


def _keep_etag(part: pathlib.Path, etag: str | None) -> None:
    # A weak tag does not promise that every byte is the same.
    if etag and etag.startswith('"'):
        _etag_of(part).write_text(etag)
    else:
        _etag_of(part).unlink(missing_ok=True)


def _etag_of(part: pathlib.Path) -> pathlib.Path:
    return part.with_name(f"{part.name}.etag")


def _remove(part: pathlib.Path) -> None:
    # In this order: once the part is gone, another process may use its name.
    _etag_of(part).unlink(missing_ok=True)
    part.unlink(missing_ok=True)


def _size(part: pathlib.Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _reason(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return getattr(reason, "strerror", None) or str(reason) or type(error).__name__


def _mb(size: float) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
