"""Downloads test and training sets from their own homes: resumed, verified, and unpacked safely.

The checksums of DIV2K are those that TensorFlow Datasets publishes. For the test sets, which the authors of SelfExSR
host, none are published: the CRC-32 of each file in the archive is all there is to verify, and the SHA-256 is recorded.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import stat
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from srsearch.data.files import SUFFIXES
from srsearch.errors import InputError, WorkError, suggest
from srsearch.files import UNFINISHED, write_whole
from srsearch.text import well_formed

RECORD = ".fetched.json"
"""The file in a set's folder that names the archives that were unpacked there."""

_CHUNK = 2**18
_ATTEMPTS = 5
_PAUSE = 1.0
"""Seconds before a broken download goes on; doubled each time."""
_TIMEOUT = 60
_MOST_INFLATION = 50
"""An archive that unpacks to more times its size is no archive of images."""


@dataclass(frozen=True)
class Archive:
    """A zip file on a server.

    Attributes:
        url: Its address.
        sha256: Its SHA-256; None if none is published.
        scale: The scale of the LR images in it; None for HR images.
    """

    url: str
    sha256: str | None = None
    scale: int | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class ImageSet:
    """A set of images that can be fetched.

    Attributes:
        name: Its name in commands.
        folder: Name of the folder that it is unpacked to.
        about: What it is.
        size: How large the download is, in words.
        home: The page of its authors.
        licence: What its authors allow.
        archives: The files; empty if they must be asked for.
        one_folder: Whether an archive holds the set in one folder, which is left out.
    """

    name: str
    folder: str
    about: str
    size: str
    home: str
    licence: str
    archives: tuple[Archive, ...] = ()
    one_folder: bool = False


_DIV2K = "https://data.vision.ee.ethz.ch/cvl/DIV2K/"
_SELFEXSR = "https://github.com/jbhuang0604/SelfExSR"
_BOX = "https://uofi.box.com/shared/static/"

SETS: Mapping[str, ImageSet] = {
    each.name: each
    for each in (
        ImageSet(
            "div2k",
            "DIV2K",
            "800 training and 100 validation images of 2K; LR images at the scales that --scale names",
            "4.0 GB; LR images 0.3 GB (x4) to 1.0 GB (x2)",
            _DIV2K,
            "for academic research only; the images belong to their owners",
            (
                Archive(
                    f"{_DIV2K}DIV2K_train_HR.zip", "9d0b9c463f6e35b6c62cc6a930ee2224f670b34c1df841a57670f9acf0f6c335"
                ),
                Archive(
                    f"{_DIV2K}DIV2K_valid_HR.zip", "20dd31fd84d777bc1cf5d6b7654a3f569c0aec74458ae094122ad1d0489900fc"
                ),
                Archive(
                    f"{_DIV2K}DIV2K_train_LR_bicubic_X2.zip",
                    "a53a424317575838dadce4bcd97cf7b744d6855f43740ed5f0245af3cf4bd850",
                    2,
                ),
                Archive(
                    f"{_DIV2K}DIV2K_train_LR_bicubic_X3.zip",
                    "ad5c8e5507e2765823d3c2c5bd0934842efcd487c5370604c224090898b3163a",
                    3,
                ),
                Archive(
                    f"{_DIV2K}DIV2K_train_LR_bicubic_X4.zip",
                    "f006b837f4eb52b82909aa01478e6d6d199eefce932179491d0c9dbb706dde3a",
                    4,
                ),
                Archive(
                    f"{_DIV2K}DIV2K_valid_LR_bicubic_X2.zip",
                    "60eed9875c697df51204aa579e2a699e1d5215095788a097ff54dd17e2664d57",
                    2,
                ),
                Archive(
                    f"{_DIV2K}DIV2K_valid_LR_bicubic_X3.zip",
                    "04b9a2ed3b4a0715d3924d3ae8514830c3328fac8d30512ce716d6f419e052a3",
                    3,
                ),
                Archive(
                    f"{_DIV2K}DIV2K_valid_LR_bicubic_X4.zip",
                    "a50a5d1c4b88de4e8d300d8fb2b904c52fe93b2b298a4899697760d7cbb6d553",
                    4,
                ),
            ),
        ),
        ImageSet(
            "set5",
            "Set5",
            "5 images (Bevilacqua et al., 2012)",
            "small",
            _SELFEXSR,
            "no licence is stated; the images belong to their owners",
            (Archive(f"{_BOX}kfahv87nfe8ax910l85dksyl2q212voc.zip"),),
            one_folder=True,
        ),
        ImageSet(
            "set14",
            "Set14",
            "14 images (Zeyde et al., 2010)",
            "86 MB",
            _SELFEXSR,
            "no licence is stated; the images belong to their owners",
            (Archive(f"{_BOX}igsnfieh4lz68l926l8xbklwsnnk8we9.zip"),),
            one_folder=True,
        ),
        ImageSet(
            "b100",
            "B100",
            "100 photographs of the Berkeley Segmentation Dataset (Martin et al., 2001)",
            "0.6 GB",
            _SELFEXSR,
            "for non-commercial research and education",
            (Archive(f"{_BOX}qgctsplb8txrksm9to9x01zfa4m61ngq.zip"),),
            one_folder=True,
        ),
        ImageSet(
            "urban100",
            "Urban100",
            "100 photographs of buildings (Huang et al., 2015); at x2, use image_SRF_4: its x2 folder has half size",
            "1.1 GB",
            _SELFEXSR,
            "photographs from Flickr under Creative Commons licences",
            (Archive(f"{_BOX}65upg43jjd0a4cwsiqgl6o6ixube6klm.zip"),),
            one_folder=True,
        ),
        ImageSet(
            "manga109",
            "Manga109",
            "109 pages of manga (Matsui et al., 2017)",
            "",
            "http://www.manga109.org",
            "for academic use, from its authors on request",
        ),
    )
}


@dataclass(frozen=True)
class Fetched:
    """What fetching an archive has done.

    Attributes:
        archive: The archive.
        sha256: Its SHA-256.
        files: Number of images that were unpacked; 0 if that had been done before.
    """

    archive: Archive
    sha256: str
    files: int


def image_set(name: str) -> ImageSet:
    """The set with a name.

    Raises:
        InputError: There is none, or its authors give it to those only who ask.
    """
    if name.lower() not in SETS:
        raise InputError(f"no image set is called {name!r}: {suggest(name.lower(), SETS)}")
    found = SETS[name.lower()]
    if not found.archives:
        raise InputError(
            f"{found.folder} cannot be fetched: its authors give it on request, see {found.home} ({found.licence}). "
            f"Put the images into a folder called {found.folder}"
        )
    return found


def fetch(
    chosen: ImageSet,
    into: Path,
    *,
    scales: Sequence[int] = (),
    progress: Callable[[Archive, int, int | None], None] = lambda archive, received, total: None,
    warn: Callable[[str], None] = lambda message: None,
) -> Iterator[Fetched]:
    """Download and unpack the archives of a set, one after another. What was unpacked before is not fetched again.

    Args:
        chosen: The set.
        into: The folder in which the set's folder is made.
        scales: Scales whose LR images are wanted, where archives have one scale each.
        progress: Called with the archive, the bytes received and their total, if known.
        warn: Receives messages about broken connections.

    Raises:
        WorkError: The server cannot be reached, the download is cut again and again (running the command again goes on
            there), a checksum is wrong, there is too little space, or the archive is damaged or not safe to unpack.
    """
    folder = into / chosen.folder
    folder.mkdir(parents=True, exist_ok=True)
    for archive in chosen.archives:
        if archive.scale is not None and archive.scale not in scales:
            continue
        record = _record(folder)
        if archive.url in record:
            yield Fetched(archive, record[archive.url], 0)
            continue
        file = folder / f".{archive.name}{UNFINISHED}"
        download(archive, file, progress=progress, warn=warn)
        digest = _verified(archive, file)
        try:
            count = unpack(file, folder, one_folder=chosen.one_folder)
        except _NoSpaceError:
            raise  # the file is good
        except WorkError:
            _forget(file)
            raise
        write_whole(folder / RECORD, json.dumps({**record, archive.url: digest}, indent=2))
        _forget(file)
        yield Fetched(archive, digest, count)


def download(
    archive: Archive,
    file: Path,
    *,
    progress: Callable[[Archive, int, int | None], None] = lambda archive, received, total: None,
    warn: Callable[[str], None] = lambda message: None,
) -> None:
    """Download a file, or the rest of it if a part is there and the server's file is still the same.

    Args:
        archive: The archive.
        file: Where to write it. Its ETag is noted beside it.
        progress: As for `fetch`.
        warn: As for `fetch`.

    Raises:
        WorkError: The server cannot be reached or refuses, the download is cut again and again, or there is too little
            space.
    """
    pause = _PAUSE
    for attempt in range(1, _ATTEMPTS + 1):
        before = file.stat().st_size if file.exists() else 0
        try:
            if _received(archive, file, progress):
                return
            problem = "the connection ended early"
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429:
                raise WorkError(f"{archive.url}: the server answers {error.code} {error.reason}") from None
            problem = f"the server answers {error.code} {error.reason}"
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            problem = str(getattr(error, "reason", error)) or type(error).__name__
        there = file.stat().st_size if file.exists() else 0
        if attempt == _ATTEMPTS:
            raise WorkError(
                f"{archive.url}: {problem}; {there} bytes are there, and running the command again goes on from them"
            )
        warn(f"{archive.name}: {problem} after {there} bytes; going on from there")
        if there == before:
            time.sleep(pause)
            pause *= 2


def unpack(file: Path, folder: Path, *, one_folder: bool = False) -> int:
    """Unpack the images of a zip file. Everything else in it is left out.

    Args:
        file: The zip file.
        folder: Where to. Nothing is written outside.
        one_folder: Leave out the one folder that holds everything in the archive, if there is one.

    Returns:
        The number of images.

    Raises:
        WorkError: It is damaged, holds a path that leads out of the folder or a link, unpacks to far more than its
            size, or there is too little space.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(file) as archive:
            members = [each for each in archive.infolist() if not each.is_dir()]
            paths = {each.filename: _safe(each, file.name) for each in members}
            total = sum(each.file_size for each in members)
            if total > _MOST_INFLATION * max(file.stat().st_size, 1):
                raise WorkError(
                    f"{file.name}: refused: unpacks to {total} bytes, over {_MOST_INFLATION} times its size"
                )
            _check_space(folder, total)
            images = [
                each
                for each in members
                if paths[each.filename].suffix.lower() in SUFFIXES
                and not any(part.startswith((".", "__MACOSX")) for part in paths[each.filename].parts)
            ]
            tops = {paths[each.filename].parts[0] for each in images}
            within = one_folder and len(tops) == 1 and all(len(paths[each.filename].parts) > 1 for each in images)
            for each in images:
                path = paths[each.filename]
                _extract(archive, each, folder.joinpath(*(path.parts[1:] if within else path.parts)))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise WorkError(f"{file.name}: not a zip file, or damaged: {error}") from None
    if not images:
        raise WorkError(f"{file.name}: the archive holds no images")
    return len(images)


class _NoSpaceError(WorkError):
    """Too little space."""


# Downloading ----------------------------------------------------------------------------------------------------------


def _received(archive: Archive, file: Path, progress: Callable[[Archive, int, int | None], None]) -> bool:
    """Receive what is missing of a file. Returns whether all of it is there now."""
    there = file.stat().st_size if file.exists() else 0
    tag = _tag_file(file).read_text(encoding="ascii") if there and _tag_file(file).exists() else ""
    request = urllib.request.Request(archive.url, headers={"User-Agent": "srsearch", "Accept-Encoding": "identity"})
    if there and tag:
        request.add_header("Range", f"bytes={there}-")
        request.add_header("If-Range", tag)
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and there:  # nothing is missing, or the file became shorter
            if (error.headers.get("Content-Range") or "").endswith(f"/{there}"):
                return True
            _forget(file)
            return False
        raise
    with response:
        resumed = response.status == 206 and (response.headers.get("Content-Range") or "").startswith(f"bytes {there}-")
        start = there if resumed else 0
        length = response.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        if total is not None:
            _check_space(file.parent, total - start)
        new_tag = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        _tag_file(file).write_text("" if new_tag.startswith("W/") else new_tag, encoding="ascii", errors="replace")
        with file.open("r+b" if resumed else "wb") as opened:
            opened.seek(start)
            opened.truncate()
            progress(archive, start, total)
            received = start
            while chunk := response.read(_CHUNK):
                opened.write(chunk)
                received += len(chunk)
                progress(archive, received, total)
    return total is None or received == total


def _tag_file(file: Path) -> Path:
    return file.with_name(f"{file.name}.etag")


def _forget(file: Path) -> None:
    for each in (file, _tag_file(file)):
        with contextlib.suppress(OSError):
            each.unlink()


def _check_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise _NoSpaceError(f"{folder}: {size / 1e9:.1f} GB are needed, and {free / 1e9:.1f} GB are free")


def _verified(archive: Archive, file: Path) -> str:
    """The SHA-256 of a downloaded file; a file with a wrong one is deleted."""
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if archive.sha256 is not None and digest != archive.sha256:
        _forget(file)
        raise WorkError(
            f"{archive.url}: wrong checksum: SHA-256 is {digest}, should be {archive.sha256}; the file was deleted"
        )
    return digest


def _record(folder: Path) -> dict[str, str]:
    try:
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


# Unpacking ------------------------------------------------------------------------------------------------------------


def _safe(member: zipfile.ZipInfo, archive: str) -> PurePosixPath:
    """The path of a member.

    Raises:
        WorkError: It leads out of the folder, or is a link.
    """
    path = PurePosixPath(member.filename)
    shown = well_formed(member.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in member.filename or not path.parts:
        raise WorkError(f"{archive}: refused, and nothing was unpacked: {shown!r} leads out of the folder")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise WorkError(f"{archive}: refused, and nothing was unpacked: {shown!r} is a link")
    return path


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Unpack one file, whole or not at all; reading it verifies its CRC-32."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}{UNFINISHED}")
    try:
        with archive.open(member) as source, unfinished.open("wb") as opened:
            shutil.copyfileobj(source, opened, _CHUNK)
        os.replace(unfinished, target)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
