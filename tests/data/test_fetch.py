"""`srsearch data fetch` from a server on this machine: resumed, verified, unpacked safely."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import re
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from srsearch.data import fetch as fetching
from srsearch.data import recognise
from srsearch.data.fetch import Archive, ImageSet
from tests.support.commands import Command


class Server(ThreadingHTTPServer):
    """Serves one file, with ranges.

    Attributes:
        content: The file.
        cut: Bytes after which each connection ends; None: after the whole file.
        status: An answer to give instead.
        asked: The Range headers of all requests.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content, self.cut, self.status = b"", None, 0
        self.asked: list[str | None] = []

    content: bytes
    cut: int | None
    status: int


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        if self.server.status:
            self.send_error(self.server.status)
            return
        tag = f'"{hashlib.md5(self.server.content).hexdigest()}"'
        whole, start = self.server.content, 0
        if asked is not None and self.headers.get("If-Range") == tag:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start and start >= len(whole):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(whole)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(whole) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        self.end_headers()
        end = len(whole) if self.server.cut is None else start + self.server.cut
        self.wfile.write(whole[start:end])

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that has the only archive of Set5."""
    monkeypatch.setattr(fetching, "_PAUSE", 0.0)
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        archive = Archive(f"http://127.0.0.1:{made.server_address[1]}/set5.zip")
        changed = dataclasses.replace(fetching.SETS["set5"], archives=(archive,))
        monkeypatch.setattr(fetching, "SETS", {**fetching.SETS, "set5": changed})
        yield made
        made.shutdown()
        thread.join()


def with_checksum(monkeypatch: pytest.MonkeyPatch, sha256: str) -> None:
    changed: ImageSet = fetching.SETS["set5"]
    archive = dataclasses.replace(changed.archives[0], sha256=sha256)
    changed = dataclasses.replace(changed, archives=(archive,))
    monkeypatch.setattr(fetching, "SETS", {**fetching.SETS, "set5": changed})


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


SET5 = {f"Set5_SR/image_SRF_4/img_00{number}_SRF_4_HR.png": png(number) for number in range(1, 4)}


def test_a_set_is_fetched_unpacked_and_recognised(srsearch: Command, server: Server, tmp_path: Path) -> None:
    server.content = zipped(**SET5, **{"Set5_SR/run.m": b"code", "__MACOSX/._a.png": b"", "Set5_SR/.b.png": b""})
    ended = srsearch("data", "fetch", "SET5")
    assert ended.returncode == 0, ended.stderr
    assert "Licence: no licence is stated" in ended.stderr
    assert hashlib.sha256(server.content).hexdigest() in ended.stderr
    assert "data/Set5: 3 images" in ended.stdout
    folder = tmp_path / "data" / "Set5"
    unpacked = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    assert unpacked == [".fetched.json", *(name.removeprefix("Set5_SR/") for name in SET5)]
    layout = recognise(folder, 4)
    assert (layout.kind, layout.benchmark, len(layout.pairs)) == ("SelfExSR", "Set5", 3)
    again = srsearch("data", "fetch", "set5")
    assert "was fetched before" in again.stderr
    assert len(server.asked) == 1
    assert re.search(r"set5 .*data/Set5", srsearch("data").stdout)


def test_a_download_that_is_cut_goes_on_where_it_ended(srsearch: Command, server: Server, tmp_path: Path) -> None:
    server.content = zipped(**SET5)
    part = len(server.content) // 7
    server.cut = part
    ended = srsearch("data", "fetch", "set5")
    assert ended.returncode == 1
    assert f"{5 * part} bytes are there, and running the command again goes on from them" in ended.stderr
    assert server.asked == [None, *(f"bytes={number * part}-" for number in range(1, 5))]
    server.cut = None
    assert srsearch("data", "fetch", "set5").returncode == 0
    assert server.asked[-1] == f"bytes={5 * part}-"
    first = next(iter(SET5))
    assert (tmp_path / "data" / first.replace("Set5_SR", "Set5")).read_bytes() == SET5[first]


def test_a_file_that_changed_on_the_server_is_fetched_from_its_beginning(srsearch: Command, server: Server) -> None:
    server.content = zipped(**{name: png(9) for name in SET5})
    server.cut = 1000
    assert srsearch("data", "fetch", "set5").returncode == 1
    server.content, server.cut = zipped(**SET5), None
    assert srsearch("data", "fetch", "set5").returncode == 0


def test_a_wrong_checksum_and_a_damaged_archive_unpack_nothing(
    srsearch: Command, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = zipped(**SET5)
    with_checksum(monkeypatch, "0" * 64)
    ended = srsearch("data", "fetch", "set5")
    assert ended.returncode == 1
    assert "wrong checksum" in ended.stderr
    assert list((tmp_path / "data" / "Set5").iterdir()) == []
    with_checksum(monkeypatch, hashlib.sha256(server.content).hexdigest())
    assert srsearch("data", "fetch", "set5").returncode == 0

    damaged = bytearray(zipped(**{"Set5/a.png": png(1) * 3}))
    damaged[200] ^= 255
    (tmp_path / "damaged.zip").write_bytes(damaged)
    with pytest.raises(fetching.WorkError, match="not a zip file, or damaged"):
        fetching.unpack(tmp_path / "damaged.zip", tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.png*"))


@pytest.mark.parametrize(
    "name", ["../../evil.png", "/tmp/evil.png", "a/../../evil.png", "C:\\evil.png", "..\\evil.png"]
)
def test_archives_that_lead_out_of_the_folder_are_refused(
    srsearch: Command, server: Server, tmp_path: Path, name: str
) -> None:
    server.content = zipped(**SET5, **{name: png(1)})
    ended = srsearch("data", "fetch", "set5")
    assert ended.returncode == 1
    assert "refused, and nothing was unpacked" in ended.stderr
    assert not list(tmp_path.rglob("*.png"))


def test_links_and_bombs_in_archives_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("Set5/a.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(fetching.WorkError, match=r"'Set5/a\.png' is a link"):
        fetching.unpack(tmp_path / "link.zip", tmp_path)
    (tmp_path / "bomb.zip").write_bytes(zipped(**{"a.png": bytes(10**7)}))
    with pytest.raises(fetching.WorkError, match="refused: unpacks to 10000000 bytes, over 50 times its size"):
        fetching.unpack(tmp_path / "bomb.zip", tmp_path)
    assert not list(tmp_path.rglob("*.png"))


def test_servers_that_refuse_and_sets_that_must_be_asked_for(srsearch: Command, server: Server) -> None:
    server.status = 404
    ended = srsearch("data", "fetch", "set5")
    assert ended.returncode == 1
    assert "the server answers 404" in ended.stderr
    assert len(server.asked) == 1
    server.status = 503
    assert "the server answers 503" in srsearch("data", "fetch", "set5").stderr
    assert len(server.asked) == 6
    manga = srsearch("data", "fetch", "manga109")
    assert manga.returncode == 2
    assert "its authors give it on request, see http://www.manga109.org" in manga.stderr
    assert "did you mean 'urban100'" in srsearch("data", "fetch", "urban10").stderr


def test_lr_images_of_div2k_are_fetched_at_the_scales_asked_for(
    srsearch: Command, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = zipped(**{"DIV2K_train_HR/0001.png": png(1)})
    address = fetching.SETS["set5"].archives[0].url.rpartition("/")[0]
    archives = tuple(Archive(f"{address}/{each.name}", None, each.scale) for each in fetching.SETS["div2k"].archives)
    changed = dataclasses.replace(fetching.SETS["div2k"], archives=archives)
    monkeypatch.setattr(fetching, "SETS", {**fetching.SETS, "div2k": changed})
    for options, count in ((), 2), (("--scale", "4"), 2), (("--scale", "2", "--scale", "3"), 4):
        before = len(server.asked)
        assert srsearch("data", "fetch", "div2k", *options).returncode == 0
        assert len(server.asked) == before + count
    assert (tmp_path / "data" / "DIV2K" / "DIV2K_train_HR" / "0001.png").is_file()
