"""The server of web/: loopback, its own folder, and nothing that stops it."""

import http.client
import os
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

WEB = Path(__file__).parent.parent / "web"

pytestmark = pytest.mark.skipif(
    not (WEB / "node_modules" / "send").is_dir(), reason="npm install in web/"
)


@pytest.fixture(scope="module")
def server():
    """The process and the port of a server."""
    environment = {**os.environ, "PORT": "0"}
    with subprocess.Popen(
        ["node", "serve.js"],
        cwd=WEB,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline().rsplit(":", 1)[1])
        process.terminate()


def ask(port: int, path: str, method: str = "GET"):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as to:
        to.putrequest(method, path)
        to.endheaders()
        with closing(to.getresponse()) as response:
            return response.status, response.read(), dict(response.getheaders())


def test_files_come_with_the_headers_for_threads(server):
    status, body, headers = ask(server[1], "/")
    assert status == 200 and body == (WEB / "index.html").read_bytes()
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    status, body, _ = ask(server[1], "/model.tflite")
    assert status == 200 and body[4:8] == b"TFL3"
    status, body, headers = ask(server[1], "/page.js", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) == (WEB / "page.js").stat().st_size


@pytest.mark.parametrize(
    "path",
    [
        "/index.html/",
        "/%00.html",
        "/%zz",
        f"/{'a' * 256}.html",
        "/..%2f..%2fREADME.md",
        "/%2e%2e/%2e%2e/pyproject.toml",
        "//etc/passwd",
        "/node_modules/",
        "/nothing.html",
    ],
)
def test_bad_addresses_do_not_stop_it(path, server):
    process, port = server
    assert ask(port, path)[0] in (400, 403, 404)
    assert process.poll() is None and ask(port, "/")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods(method, server):
    assert ask(server[1], "/", method)[0] == 405


def test_links_that_lead_out(server):
    link = WEB / "link-of-a-test.md"
    link.symlink_to(WEB.parent / "README.md")
    try:
        assert ask(server[1], f"/{link.name}")[0] == 404
    finally:
        link.unlink()


def test_downloads_that_break_off_leave_no_open_file(server):
    process, port = server
    open_files = Path(f"/proc/{process.pid}/fd")
    if not open_files.is_dir():
        pytest.skip("no /proc here")
    before = len(list(open_files.iterdir()))
    for _ in range(60):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET /model.tflite HTTP/1.1\r\nHost: x\r\n\r\n")
            connection.recv(1000)
    for _ in range(50):
        if len(list(open_files.iterdir())) <= before + 2:
            break
        time.sleep(0.1)
    assert len(list(open_files.iterdir())) <= before + 2


def test_only_this_machine(server):
    """Another address of this machine has no server."""
    with socket.socket(socket.AF_INET) as probe:
        probe.settimeout(2)
        with pytest.raises(OSError):
            probe.connect(("127.0.0.2", server[1]))
