"""Files are written whole or stay as they were."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from srsearch.files import whole, write_whole


def test_an_error_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "best.yaml"
    file.write_text("before")

    def interrupted() -> None:
        with whole(file) as opened:
            opened.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"best.yaml": "before"}


@pytest.mark.parametrize("is_there", [True, False])
def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, is_there: bool) -> None:
    file = tmp_path / "best.yaml"
    if is_there:
        file.write_text("before")
    code = (
        "import resource, signal, sys; from pathlib import Path; from srsearch.files import write_whole\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_whole(Path(sys.argv[1]), 'x' * 5000)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=False)
    assert "File too large" in ended.stderr
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == ({"best.yaml": "before"} if is_there else {})


def test_permissions_and_links_stay(tmp_path: Path) -> None:
    file, link = tmp_path / ("n" * 250), tmp_path / "link"
    write_whole(file, "one")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~umask
    file.chmod(0o640)
    link.symlink_to(file.name)
    write_whole(link, "two")
    assert link.is_symlink()
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("two", 0o640)
    assert len(list(tmp_path.iterdir())) == 2


def test_pipes_and_devices_are_written_directly(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_whole(pipe, "through")
    reader.join()
    assert read == ["through"]
    assert pipe.is_fifo()
    code = "from pathlib import Path; from srsearch.files import write_whole; write_whole(Path('/dev/stdout'), 'out')"
    with (tmp_path / "file").open("w") as file:
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert (tmp_path / "file").read_text() == "out"
    write_whole(Path("/dev/null"), "nothing")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
