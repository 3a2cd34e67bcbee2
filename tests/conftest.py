from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import settings

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

# Machines that run tests are busy; laws hold however long an example takes.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real recordings, kept outside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"the real recordings are not at {SHARED}")
    return SHARED


@dataclass
class Served:
    """A small file server on this machine that can misbehave: what it gives, and was asked for.

    Attributes
    ----------
    files : dict of str to bytes
        By path without the slash.
    cut_after : list of int
        Bytes after which the next answers are cut off, one by one; then none is.
    ranges : bool
        Whether it can give the rest of a file.
    version : str
        Of all files, as ETag; "" for none.
    status : int
        Of every answer, when it is not 0.
    asked : list of (str, str or None)
        Paths, and the Range asked for.
    """

    files: dict[str, bytes]
    cut_after: list[int] = field(default_factory=list)
    ranges: bool = True
    version: str = '"one"'
    status: int = 0
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def serve() -> Iterator[Callable[[dict[str, bytes]], Served]]:
    """Serve files by path at the address `Served.url`."""
    with ExitStack() as servers:
        yield lambda files: servers.enter_context(_serving(Served(files)))


@contextmanager
def _serving(served: Served) -> Iterator[Served]:

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            _answer(self, served)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(handler: BaseHTTPRequestHandler, served: Served) -> None:
    name, wanted = handler.path.lstrip("/"), handler.headers.get("Range")
    served.asked.append((name, wanted))
    content = served.files.get(name)
    if served.status or content is None:
        handler.send_error(served.status or 404)
        return
    same = handler.headers.get("If-Range") in (None, served.version)
    start = 0
    if wanted and served.ranges and same:
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(content)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    else:
        handler.send_response(200)
    if served.version:
        handler.send_header("ETag", served.version)
    handler.send_header("Content-Length", str(len(content) - start))
    handler.end_headers()
    stop = len(content)
    if served.cut_after:
        stop = min(stop, start + served.cut_after.pop(0))
    handler.wfile.write(content[start:stop])
