"""Published files: downloaded once and kept, whole and as published, or told in one sentence why not."""

import contextlib
import functools
import hashlib
import http.client
import io
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

from keras_resnet.errors import UserError
from keras_resnet.files import put_in_place

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_SECONDS_WITHOUT_A_BYTE = 30.0
# Before each further try of a download that broke off.
_PAUSES = (1.0, 3.0, 10.0)
_SECONDS_BETWEEN_SHOWS = 0.1
_CHUNK = 1 << 20
_HASHES: dict[str, Callable[[], Any]] = {
    "SHA-256": hashlib.sha256,
    "MD5": functools.partial(hashlib.md5, usedforsecurity=False),
}


def keras_home() -> pathlib.Path:
    """Where Keras keeps its files, found as Keras does but without importing it."""
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
    """The published file at `path`; it is downloaded if it is not there.

    How far it is goes to stderr: on a terminal with the speed and the time left, elsewhere a line at each
    tenth of the way. Until it is whole and verified it is called `path` with ".part", and a download that
    breaks off goes on from there, the next time as well. Several processes may ask for the same file at the
    same time.

    Args:
        url: http or https.
        path: of the file; its folder is made.
        sha256: hexadecimal digits of the hash, or its first ones; this or the other one is needed.
        md5: hexadecimal digits of the hash.
        what: the file is, to begin a sentence with.

    Raises:
        UserError: no connection, another file than the published one, or no place for it.
        ValueError: there is no hash.
    """
    path = pathlib.Path(path)
    hashes = {name: digits.lower() for name, digits in (("SHA-256", sha256), ("MD5", md5)) if digits}
    if not hashes:
        raise ValueError(f"The hash of {url} is needed: what comes is not trusted without.")
    try:
        if not path.exists() and _download(url, path, hashes, what):
            return path
        difference = _difference(path, hashes)
    except OSError as error:
        raise UserError(
            f"{what} cannot be kept at {path} ({_reason(error)}); make room there, or give a folder that can "
            "be read and written."
        ) from error
    if difference:
        raise UserError(
            f"{path} is not the published file: {difference}; remove it and it is downloaded anew, or put "
            "the right one there."
        )
    return path


class _Failure(Exception):
    """No answer, or none that is of use."""


class _BrokenOff(_Failure):
    """A part of the file came, and no more."""


def _download(url: str, path: pathlib.Path, hashes: dict[str, str], what: str) -> bool:
    """Put the file in its place, or give False where another process did meanwhile."""
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise UserError(
            f"{what} cannot be downloaded from {url}, which is neither https nor http; put it at {path}."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with _part_of(path, what) as part:
        if path.exists():
            return False
        try:
            _to_the_end(url, part, what)
        except _Failure as error:
            raise UserError(
                f"{what} cannot be downloaded ({error}); with a connection it is downloaded by itself, or "
                f"put the file of {url} at {path}."
            ) from error
        if difference := _difference(part, hashes):
            _remove(part)
            raise UserError(
                f"{what} cannot be downloaded, as {url} gives another file than the published one "
                f"({difference}); try another network, or put the right file at {path}."
            )
        _etag_of(part).unlink(missing_ok=True)
        put_in_place(part, path)
    return True


@contextlib.contextmanager
def _part_of(path: pathlib.Path, what: str) -> Iterator[pathlib.Path]:
    """The name for the unfinished file, which no other process writes to meanwhile."""
    part = path.with_name(f"{path.name}.part")
    lock = _lock(part, what)
    if lock is None:
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
    except OSError:
        _remove(part)  # so that a full disk is not left full
        raise
    finally:
        if lock is None:
            _remove(part)
        else:
            if _is_at(lock, part) and not _size(part):
                _remove(part)
            os.close(lock)


def _lock(part: pathlib.Path, what: str) -> int | None:
    """Keep other processes away until the descriptor is closed; None where there are no locks."""
    if fcntl is None:
        return None
    while True:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _to_stderr(f"{what}: another process is downloading it; waiting for that")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # some network file systems
            os.close(descriptor)
            _remove(part)
            return None
        # The process before may have put the file in its place, or removed it.
        if _is_at(descriptor, part):
            return descriptor
        os.close(descriptor)


def _is_at(descriptor: int, part: pathlib.Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.stat(part))
    return False


def _to_the_end(url: str, part: pathlib.Path, what: str) -> None:
    """Download what is missing, in several tries once the file has begun to come."""
    pauses = iter(_PAUSES)
    began = False
    while True:
        try:
            return _go_on(url, part, what)
        except _Failure as error:
            began = began or isinstance(error, _BrokenOff)
            pause = next(pauses, None)
            if pause is None or not began:
                raise
        time.sleep(pause)


def _go_on(url: str, part: pathlib.Path, what: str) -> None:
    """Download what is missing."""
    etag = _etag_of(part).read_text() if _etag_of(part).exists() else None
    start = _size(part)
    with _ask(url, start, etag) as response:
        if start and response.status != 200:
            first, total = _range(response.headers)
            if response.status == 416 and total == start:
                return
            if response.status != 206 or first != start:
                os.truncate(part, 0)
                return _go_on(url, part, what)
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
        raise _BrokenOff(f"the connection broke off after {_mb(size)} of {_mb(total)}")


def _ask(url: str, start: int, etag: str | None) -> http.client.HTTPResponse:
    """Ask for a file from a byte on."""
    # A compressed answer would have another length; some servers refuse urllib's name.
    headers = {"User-Agent": "keras-resnet", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if etag:
            headers["If-Range"] = etag
    try:
        response = urllib.request.build_opener(_Redirects()).open(
            urllib.request.Request(url, headers=headers), timeout=_SECONDS_WITHOUT_A_BYTE
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


def _range(headers: Message) -> tuple[int | None, int | None]:
    """Of `Content-Range: bytes first-last/total`, or `bytes */total`: the first byte and the total."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)", headers["Content-Range"] or "")
    first, total = match.groups() if match else (None, None)
    return int(first) if first else None, int(total) if total else None


def _receive(response: http.client.HTTPResponse, file: io.FileIO, size: int, progress: "_Progress") -> int:
    """Append what comes to a file of that size; its size then."""
    while True:
        try:
            chunk = response.read1(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _BrokenOff(f"{_reason(error)} after {_mb(size)}") from error
        if not chunk:
            return size
        size += len(chunk)
        while chunk:
            chunk = chunk[file.write(chunk) :]
        progress.show(size)


class _Progress:
    """On a terminal a line that is written over and over, elsewhere a line at each tenth of the way."""

    def __init__(self, what: str, start: int, total: int | None):
        self._what, self._start, self._total = what, start, total
        self._over = sys.stderr.isatty()
        self._began = time.monotonic()
        self._shown: float | None = None
        self._tenth = self._tenths(start)

    def show(self, size: int) -> None:
        """So many bytes are there."""
        now = time.monotonic()
        if self._over:
            if self._shown is None or size == self._total or now - self._shown >= _SECONDS_BETWEEN_SHOWS:
                self._shown = now
                width = shutil.get_terminal_size().columns - 1
                print(f"\r{self._line(size, now)[:width]:<{width}}", end="", file=sys.stderr, flush=True)
        elif self._tenths(size) > self._tenth:
            self._tenth = self._tenths(size)
            _to_stderr(self._line(size, now))

    def end(self) -> None:
        """What follows is on a line of its own."""
        if self._shown is not None:
            print(file=sys.stderr, flush=True)

    def _tenths(self, size: int) -> int:
        return 10 * size // self._total if self._total else 0

    def _line(self, size: int, now: float) -> str:
        speed = (size - self._start) / max(now - self._began, 1e-3)
        if self._total is None:
            return f"{self._what}: {_mb(size)}, {_mb(speed)}/s"
        left = round((self._total - size) / speed)
        return (
            f"{self._what}: {100 * size // self._total} % of {_mb(self._total)}, {_mb(speed)}/s, "
            f"{left // 60}:{left % 60:02} left"
        )


def _difference(path: pathlib.Path, hashes: dict[str, str]) -> str | None:
    for name, digits in hashes.items():
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, _HASHES[name]).hexdigest()
        if not found.startswith(digits):
            return f"its {name} begins with {found[:8]}, not {digits[:8]}"
    return None


def _keep_etag(part: pathlib.Path, etag: str | None) -> None:
    # A weak one does not say that every byte is the same.
    if etag and etag.startswith('"'):
        _etag_of(part).write_text(etag)
    else:
        _etag_of(part).unlink(missing_ok=True)


def _etag_of(part: pathlib.Path) -> pathlib.Path:
    return part.with_name(f"{part.name}.etag")


def _remove(part: pathlib.Path) -> None:
    # In this order, for without the part its name is another process's to take.
    _etag_of(part).unlink(missing_ok=True)
    part.unlink(missing_ok=True)


def _size(part: pathlib.Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _reason(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return getattr(reason, "strerror", None) or str(reason) or type(error).__name__


def _mb(size: float) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
