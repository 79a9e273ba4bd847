"""Downloads from a server on this machine that misbehaves in every way."""

import contextlib
import functools
import hashlib
import http.server
import io
import logging
import os
import pathlib
import re
import resource
import shutil
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import keras
import numpy as np
import pytest
from helpers.errors import refused

from keras_resnet.errors import UserError
from keras_resnet.weights import download
from keras_resnet.weights.download import fetch, keras_home

CONTENT = np.random.RandomState(0).bytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()


class Server:
    """Serves one file, and misbehaves as a test configures it."""

    def __init__(self):
        self.content, self.etag = CONTENT, '"one"'
        self.breaks = []  # bytes after which a response breaks off, one number per request
        self.supports_ranges = True
        self.wrong_range = None
        self.status = 200
        self.redirects = {}  # by path
        self.hold_after = None  # bytes after which a response waits for `go`
        self.holds, self.go = threading.Event(), threading.Event()
        self.requests = []

    def respond(self, handler):
        self.requests.append(dict(handler.headers))
        if handler.path in self.redirects:
            return self._head(handler, 302, {"Location": self.redirects[handler.path]})
        if self.status != 200:
            return self._head(handler, self.status, {})
        requested = re.fullmatch(r"bytes=(\d+)-", handler.headers["Range"] or "")
        same = handler.headers["If-Range"] in (None, self.etag)
        first = int(requested[1]) if requested and same and self.supports_ranges else 0
        total = len(self.content)
        if first >= total:
            return self._head(handler, 416, {"Content-Range": f"bytes */{total}"})
        headers = {"Content-Length": str(total - first)}
        if self.etag:
            headers["ETag"] = self.etag
        if first:
            headers["Content-Range"] = self.wrong_range or f"bytes {first}-{total - 1}/{total}"
        self._head(handler, 206 if first else 200, headers)
        body = self.content[first:]
        if self.hold_after is not None:
            handler.wfile.write(body[: self.hold_after])
            body, self.hold_after = body[self.hold_after :], None
            go = self.go
            self.holds.set()
            go.wait(20)
        handler.wfile.write(body[: self.breaks.pop(0)] if self.breaks else body)

    def _head(self, handler, status, headers):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "_PAUSES", (0.0, 0.0))
    server = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            with contextlib.suppress(ConnectionError):
                server.respond(self)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        server.url = f"http://127.0.0.1:{running.server_address[1]}/net.pth"
        thread = threading.Thread(target=functools.partial(running.serve_forever, poll_interval=0.01))
        thread.start()
        yield server
        server.go.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "models" / "net.pth"


def names(path):
    return sorted(file.name for file in path.parent.iterdir())


def unfinished(path, content, etag=None):
    path.parent.mkdir()
    path.with_name("net.pth.part").write_bytes(content)
    if etag:
        path.with_name("net.pth.part.etag").write_text(etag)


get = functools.partial(fetch, what="The model", sha256=SHA256)


@contextlib.contextmanager
def _refused(value, *reasons):
    """Expects a refusal of this file or address, for these reasons."""
    with refused(value=value) as caught:
        yield caught
    for reason in reasons:
        assert reason in caught.value.reason


@pytest.mark.parametrize(
    "hashes",
    [
        {"sha256": SHA256},
        {"sha256": SHA256[:8].upper()},
        {"sha256": None, "md5": hashlib.md5(CONTENT).hexdigest()},
        {"sha256": SHA256, "md5": hashlib.md5(CONTENT).hexdigest()},
    ],
    ids=["sha256", "prefix", "md5", "both"],
)
def test_file_is_complete_and_no_other_file_is_left(server, path, hashes):
    assert get(server.url, str(path), **hashes) == path
    assert path.read_bytes() == CONTENT
    assert names(path) == ["net.pth"]


def test_no_file_is_taken_without_a_hash(server, path):
    with refused("sha256"):
        fetch(server.url, path, what="The model")
    assert server.requests == []


def test_cached_file_is_used_without_a_request(server, path):
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert get(server.url, path, sha256=SHA256[:8]) == path
    assert server.requests == []


def test_another_file_in_its_place_is_refused_and_kept(server, path):
    path.parent.mkdir()
    path.write_bytes(b"other")
    with _refused(path, f"its SHA-256 begins with {OTHER[:8]}, not {SHA256[:8]}"):
        get(server.url, path, sha256=SHA256[:8])
    with _refused(path, "its MD5 begins with"):
        get(server.url, path, sha256=None, md5=hashlib.md5(CONTENT).hexdigest())
    assert path.read_bytes() == b"other"
    assert server.requests == []


def test_resumes_where_it_broke_off(server, path):
    server.breaks = [1_000_000, 500_000]
    get(server.url, path)
    assert path.read_bytes() == CONTENT
    ranges = [request.get("Range") for request in server.requests]
    assert ranges == [None, "bytes=1000000-", "bytes=1500000-"]
    assert [request.get("If-Range") for request in server.requests] == [None, '"one"', '"one"']
    assert names(path) == ["net.pth"]


def test_resumes_in_a_later_call(server, path):
    server.breaks = [1_000_000, 0, 0]
    with _refused(server.url, "(the connection broke off after 1.0 MB of 3.0 MB)", str(path)):
        get(server.url, path)
    assert names(path) == ["net.pth.part", "net.pth.part.etag"]
    get(server.url, path)
    assert path.read_bytes() == CONTENT
    assert server.requests[-1]["Range"] == "bytes=1000000-"
    assert names(path) == ["net.pth"]


def test_resumes_after_ctrl_c(server, path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(download._LOG, "info", interrupt)
        with pytest.raises(KeyboardInterrupt):
            get(server.url, path)
    received = path.with_name("net.pth.part").stat().st_size
    assert 0 < received <= len(CONTENT)
    get(server.url, path)
    assert server.requests[-1]["Range"] == f"bytes={received}-"
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("part", "etag", "changes"),
    [
        (CONTENT[:1000], '"one"', {"supports_ranges": False}),
        (b"x" * 1000, '"old"', {}),
        (CONTENT[:1000], '"one"', {"wrong_range": "bytes 0-2999999/3000000"}),
        (CONTENT[:1000], '"one"', {"wrong_range": "nonsense"}),
        (CONTENT + b"more", '"one"', {}),
    ],
    ids=["no-ranges", "changed", "another-range", "no-range", "too-long"],
)
def test_starts_over_where_it_cannot_resume(server, path, part, etag, changes):
    unfinished(path, part, etag)
    for name, value in changes.items():
        setattr(server, name, value)
    get(server.url, path)
    assert path.read_bytes() == CONTENT
    assert names(path) == ["net.pth"]


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_resumes_without_a_strong_etag(server, path, etag):
    server.etag = etag
    unfinished(path, CONTENT[:1000])
    get(server.url, path, sha256=SHA256[:8])
    assert server.requests[-1]["Range"] == "bytes=1000-"
    assert path.read_bytes() == CONTENT


def test_complete_part_is_used(server, path):
    unfinished(path, CONTENT, '"one"')
    server.breaks = [0]  # nothing more is sent
    get(server.url, path)
    assert path.read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_another_file_from_the_server_is_refused_and_removed(server, path):
    server.content = b"other"
    with _refused(server.url, f"its SHA-256 begins with {OTHER[:8]}, not {SHA256[:8]}", str(path)):
        get(server.url, path, sha256=SHA256[:8])
    assert names(path) == []


def test_no_connection_is_reported_at_once(path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download.time, "sleep", pytest.fail)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/net.pth"
        with _refused(url, "(Connection refused)", str(path)):
            get(url, path)
    assert names(path) == []


@pytest.mark.parametrize(("status", "reason"), [(404, "HTTP 404 Not Found"), (204, "HTTP 204")])
def test_status_of_a_refusing_server_is_reported(server, path, status, reason):
    server.status = status
    with _refused(server.url, f"({reason})"):
        get(server.url, path)
    assert len(server.requests) == 1
    assert names(path) == []


def test_silent_server_times_out(server, path, monkeypatch):
    monkeypatch.setattr(download, "_TIMEOUT", 0.1)
    monkeypatch.setattr(download, "_PAUSES", ())
    server.hold_after = 1_000_000
    with _refused(server.url, "(timed out after 1.0 MB)"):
        get(server.url, path)
    assert path.with_name("net.pth.part").read_bytes() == CONTENT[:1_000_000]


@pytest.mark.parametrize("address", ["file:///etc/hostname", "ftp://127.0.0.1/net.pth"])
def test_redirects_elsewhere_are_refused(server, path, address):
    server.redirects = {"/net.pth": address}
    with _refused(server.url) as caught:
        get(server.url, path)
    assert re.search(r"\(.*(R|r)edirect.* (not allowed|not safe)\)", caught.value.reason)
    assert names(path) == []


def test_redirect_from_https_to_http_is_refused():
    redirect = functools.partial(
        download._Redirects().redirect_request, fp=None, code=302, msg="Found", headers={}
    )
    secure = urllib.request.Request("https://a/net.pth")
    assert redirect(secure, newurl="https://b/net.pth").full_url == "https://b/net.pth"
    with pytest.raises(urllib.error.URLError, match="not safe"):
        redirect(secure, newurl="http://b/net.pth")


@pytest.mark.parametrize("url", ["file:///etc/hostname", "net.pth"])
def test_only_http_is_allowed(url, path):
    with refused("url", url):
        get(url, path)
    assert not path.parent.exists()


def test_impossible_folder_is_reported(server, tmp_path):
    (tmp_path / "models").write_text("a file")
    with _refused(tmp_path / "models" / "net.pth", "(File exists)"):
        get(server.url, tmp_path / "models" / "net.pth")
    assert server.requests == []


def test_full_disk_is_reported_and_not_left_full(server, path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with _refused(path, "(File too large)"):
            get(server.url, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(path) == []


FETCH = (
    "import logging, sys; from keras_resnet.weights.download import fetch;"
    "logging.basicConfig(level=logging.INFO);"
    "fetch(sys.argv[1], sys.argv[2], sha256=sys.argv[3], what='The model')"
)


@contextlib.contextmanager
def process(url, path):
    command = [sys.executable, "-c", FETCH, url, str(path), SHA256]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as fetching:
        try:
            yield fetching
        finally:
            fetching.kill()


@pytest.mark.parametrize("killed", [False, True], ids=["done", "killed"])
def test_second_process_waits_for_the_first(server, path, killed):
    server.hold_after = 1_000_000
    with process(server.url, path) as first:
        assert server.holds.wait(20)
        with process(server.url, path) as second:
            assert "another process is downloading it" in second.stderr.readline()
            if killed:
                first.kill()
            server.go.set()
            assert second.wait(20) == 0
            assert first.wait(20) == (-9 if killed else 0)
    assert path.read_bytes() == CONTENT
    assert names(path) == ["net.pth"]
    assert [request.get("Range") for request in server.requests][:1] == [None]
    assert len(server.requests) == (2 if killed else 1)


class Fetching(threading.Thread):
    """Fetches in a thread; `waits` is set while another one is downloading the file."""

    def __init__(self, server, path):
        super().__init__()
        self.server, self.path, self.result, self.waits = server, path, None, threading.Event()
        self.start()

    def run(self):
        try:
            self.result = get(self.server.url, self.path)
        except UserError as error:
            self.result = error

    def log(self, line, *_):
        if "another" in line:
            self.waits.set()


@pytest.fixture
def fetching(server, path, monkeypatch):
    monkeypatch.setattr(download._LOG, "info", lambda *line: threading.current_thread().log(*line))
    return functools.partial(Fetching, server, path)


def test_one_that_waited_for_a_wrong_file_downloads_it_itself(server, path, fetching):
    server.content, server.hold_after = b"other", 2
    first = fetching()
    assert server.holds.wait(20)
    second = fetching()
    assert second.waits.wait(20)
    server.content, server.hold_after = CONTENT, 1000
    server.holds.clear()
    go, server.go = server.go, threading.Event()
    go.set()
    first.join(20)
    assert isinstance(first.result, UserError)
    assert server.holds.wait(20)
    third = fetching()
    assert third.waits.wait(20)
    server.go.set()
    second.join(20)
    third.join(20)
    assert second.result == third.result == path
    assert path.read_bytes() == CONTENT
    assert names(path) == ["net.pth"]
    assert len(server.requests) == 2


def test_one_that_starts_over_is_waited_for(server, path, fetching):
    unfinished(path, CONTENT + b"more", '"one"')
    server.hold_after = 1000
    first = fetching()
    assert server.holds.wait(20)
    second = fetching()
    assert second.waits.wait(20)
    server.go.set()
    first.join(20)
    second.join(20)
    assert first.result == second.result == path
    assert len(server.requests) == 2


class NoLocks:
    LOCK_EX = LOCK_NB = 0

    def flock(self, *args):
        raise OSError("no locks here")


@pytest.mark.parametrize("locks", [None, NoLocks()], ids=["windows", "network-disk"])
def test_without_locks_each_process_has_a_file_of_its_own(server, path, monkeypatch, locks):
    monkeypatch.setattr(download, "fcntl", locks)
    server.breaks = [1_000_000, 0, 0]
    server.etag = None
    existing = []
    monkeypatch.setattr(download._LOG, "info", lambda *_: existing.extend(names(path)))
    with _refused(server.url, "broke off"):
        get(server.url, path)
    assert "net.pth" not in existing
    assert any(re.fullmatch(r"net\.pth\.[0-9a-f]{8}\.part", name) for name in existing)
    assert names(path) == []
    get(server.url, path)
    assert path.read_bytes() == CONTENT


def test_progress_is_logged_in_ten_lines(server, path, caplog, capsys):
    server.breaks = [1_600_000]
    with caplog.at_level(logging.INFO, logger=download.__name__):
        get(server.url, path)
    assert capsys.readouterr().err == ""
    lines = caplog.messages
    tenths = [
        int(re.match(r"The model: (\d+) % of 3\.0 MB, [\d.]+ [kM]B/s, \d+:\d\d left$", line)[1]) // 10
        for line in lines
    ]
    assert tenths == sorted(set(tenths))
    assert len(tenths) <= 10
    assert tenths[-1] == 10


def test_a_terminal_gets_one_line(server, path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((60, 24)))
    get(server.url, path)
    assert screen.getvalue().count("\n") == 1
    written = screen.getvalue().rstrip("\n").split("\r")[1:]
    assert {len(line) for line in written} == {59}
    assert written[-1].startswith("The model: 100 % of 3.0 MB, ")
    assert written[-1].rstrip().endswith(" 0:00 left")


def test_home_is_where_keras_has_it(monkeypatch, tmp_path):
    assert keras_home() == pathlib.Path(keras.src.backend.config.keras_home())
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert keras_home() == tmp_path
    monkeypatch.setenv("KERAS_HOME", "~/elsewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert keras_home() == tmp_path / "elsewhere"
    monkeypatch.delenv("KERAS_HOME")
    assert keras_home() == tmp_path / ".keras"
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    assert keras_home() == pathlib.Path("/tmp/.keras")
