"""The display of a running search, on a terminal and in a log."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import threading

import pandas as pd
import pytest
from rich.console import Console

from srsearch.cli.progress import LineProgress, RichProgress, make_progress, sparkline
from srsearch.cli.tables import front_table
from srsearch.search.progress import Progress, SilentProgress, StudyInfo, TrialView
from tests.conftest import CHECKOUT

AXES = ["channels", "body.cascade.groups", "upsampler.groups", "fusion"]
INFO = StudyInfo("lightweight_x4", "sqlite:///studies/srsearch.db", True, 12, 30, workers=2, space_size=13824)


def front(rows: int = 3) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "trial": range(20, 20 + rows),
            "key": [f"{i:064x}" for i in range(rows)],
            "psnr": [26.0 + i / 10 for i in range(rows)],
            "mult_adds": [2_000_000_000 * (i + 1) for i in range(rows)],
            "params": [40_000 * (i + 1) for i in range(rows)],
            "channels": [16 * (i + 1) for i in range(rows)],
            "body.cascade.groups": [2 + i % 2 for i in range(rows)],
            "upsampler.groups": [1 + i % 2 for i in range(rows)],
            "fusion": ["both"] * rows,
        }
    ).convert_dtypes()
    frame.attrs["axes"] = AXES
    return frame


def play(progress: Progress, rows: int = 3) -> None:
    """Send a display the events of a short search, except its end."""
    axes = {"channels": 48, "body.cascade.groups": 3, "upsampler.groups": 2, "fusion": "both"}
    progress.study_opened(INFO)
    progress.warning("photos/broken.png cannot be read")
    progress.trial_started(TrialView(22, 0, axes, 6_000_000_000, 120_000))
    progress.trial_report(22, 75, 300, 25.1)
    progress.trial_started(TrialView(23, 1, axes, 9_120_000_000, 127_000))
    progress.trial_report(22, 150, 300, 26.2)
    progress.trial_finished(22, 26.2, 12.3, 13, False, front(rows))
    progress.trial_report(23, 75, 300, 24.0)
    progress.trial_report(23, 150, 300, 25.54)
    progress.trial_failed(24, "loss became NaN at step 112 \x1b[31m\x07")


def screen(width: int, rows: int = 3) -> str:
    """The panel after `play`, as text."""
    progress = RichProgress(Console(file=io.StringIO(), width=width, force_terminal=True))
    with progress:
        play(progress, rows)
        view = Console(file=io.StringIO(), width=width, height=60)
        view.print(progress._draw(width))
        return view.file.getvalue()  # type: ignore[attr-defined]


def test_each_trial_has_one_line() -> None:
    file = io.StringIO()
    with LineProgress(file) as progress:
        play(progress)
    opened, warned, finished, failed = file.getvalue().splitlines()
    assert opened.startswith("lightweight_x4: continues, 12 of 30 done, 2 workers, 13,824 designs")
    assert warned == "warning: photos/broken.png cannot be read"
    for word in (
        "[13/30] trial 22: 26.200 dB, 6G Mult-Adds, 120K params, 12 s, new on the front",
        "left",
        "channels=48",
    ):
        assert word in finished
    assert "cascade.groups=3" in finished
    assert failed.startswith("trial 24 failed: loss became NaN at step 112")
    assert "\x1b" not in failed


def test_the_time_left_does_not_count_the_start_of_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    file = io.StringIO()
    progress = LineProgress(file)
    progress.study_opened(StudyInfo("slow_start", "studies/srsearch.db", False, 0, 11))
    progress.trial_finished(0, 26.0, 500.0, 0, True, front())  # reused: says nothing of the pace
    now += 60 + 3
    progress.trial_finished(1, 26.0, 3.0, 1, False, front())
    assert "30 s left" in file.getvalue().splitlines()[-1]
    now += 5
    progress.trial_finished(2, 26.0, 5.0, 2, False, front())
    assert "36 s left" in file.getvalue().splitlines()[-1]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_panel_fits_its_terminal_and_shows_the_essentials(width: int) -> None:
    text = screen(width)
    assert max(map(len, text.splitlines())) <= width
    for word in (
        "lightweight_x4", "13 of 30", "left", "#23", "▁█", "25.54 dB", "150/300", "9.12G", "channels 48",
        "Mult-Adds", "26.200", "6G", "120K", "trial 24 failed: loss became NaN", "trial 22: 26.200 dB",
    ):  # fmt: skip
        assert word in text, word
    assert "#22" not in text  # finished: no longer at work
    assert "\x1b" not in text


def test_panel_shows_at_most_eight_designs_of_the_front_with_both_ends() -> None:
    text = screen(100, rows=20)
    assert "8 of the 20 designs on the front" in text
    assert " 20  " in text
    assert " 39  " in text


def test_table_drops_axes_that_do_not_differ_and_counts_those_that_do_not_fit() -> None:
    def printed(width: int | None) -> str:
        console = Console(file=io.StringIO(), width=200)
        console.print(front_table(front(), width))
        return console.file.getvalue()  # type: ignore[attr-defined]

    whole = printed(None)
    assert "fusion" not in whole
    assert "cascade.groups" in whole
    assert "upsampler.groups" in whole
    narrow = printed(55)
    assert "channels" in narrow
    assert "+2" in narrow
    assert "cascade.groups" not in narrow
    widest = max(map(len, whole.splitlines()))
    assert printed(widest) == whole
    for width in range(40, widest):
        assert max(len(line.rstrip()) for line in printed(width).splitlines()) <= width
        assert "+" in printed(width)


def test_sparkline_spans_lowest_to_highest() -> None:
    assert sparkline([1.0, 2.0, 3.0]) == "▁▅█" or sparkline([1.0, 2.0, 3.0]) == "▁▄█"
    assert sparkline([5.0])
    assert len(sparkline(list(map(float, range(50))))) == 8
    assert sparkline([float("nan")]) == ""


_SCRIPT = """
import sys
from tests.cli.test_progress import play
from srsearch.cli.progress import make_progress
progress = make_progress()
print(type(progress).__name__)
sys.stdout.flush()
try:
    with progress:
        play(progress)
        {ending}
except KeyboardInterrupt:
    pass
"""


def on_terminal(ending: str, **environment: str) -> tuple[str, str]:
    """Run the events in a process with a terminal as standard error: (standard output, text on the terminal)."""
    controller, terminal = pty.openpty()
    received: list[bytes] = []

    def drain() -> None:
        try:
            while block := os.read(controller, 65536):
                received.append(block)
        except OSError:  # the other end is closed
            pass

    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    result = subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(ending=ending)],
        stdout=subprocess.PIPE,
        stderr=terminal,
        text=True,
        timeout=60,
        env={
            **os.environ,
            "TERM": "xterm-256color",
            "PYTHONPATH": str(CHECKOUT),
            "COLUMNS": "100",
            **environment,
        },
    )
    os.close(terminal)
    reader.join(10)
    os.close(controller)
    assert result.returncode == 0, b"".join(received).decode()
    return result.stdout, b"".join(received).decode()


@pytest.mark.parametrize("ending", ["pass", "raise KeyboardInterrupt"])
def test_on_a_terminal_the_panel_disappears_at_the_end_and_the_cursor_returns(ending: str) -> None:
    output, seen = on_terminal(ending)
    assert output == "RichProgress\n"  # standard output is for results
    assert "warning" in seen
    assert "photos/broken.png" in seen
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h") == 1
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")
    assert "13 of 30 designs" in seen.rsplit("\x1b[?25h")[-1]


def test_a_dumb_terminal_gets_lines() -> None:
    output, seen = on_terminal("pass", TERM="dumb")
    assert output == "LineProgress\n"
    assert "[13/30] trial 22" in seen
    assert "\x1b" not in seen


def test_a_pipe_gets_lines_and_quiet_prints_nothing(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert isinstance(make_progress(), LineProgress)
    with make_progress(quiet=True) as progress:
        assert isinstance(progress, SilentProgress)
        play(progress)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    monkeypatch.setattr(sys, "stderr", None)
    with make_progress() as progress:
        play(progress)


def test_a_closed_terminal_does_not_end_the_search() -> None:
    class Gone(io.StringIO):
        refused = 0

        def write(self, text: str) -> int:
            self.refused += 1
            raise OSError(5, "Input/output error")

    log, terminal = Gone(), Gone()
    with LineProgress(log) as lines:
        play(lines)
    with RichProgress(Console(file=terminal, force_terminal=True, width=80)) as panel:
        play(panel)
    assert log.refused > 0 < terminal.refused, "both wrote, were refused, and went on"


def test_lines_can_be_written_to_an_ascii_log() -> None:
    raw = io.BytesIO()
    with LineProgress(io.TextIOWrapper(raw, encoding="ascii", write_through=True)) as progress:
        progress.message("réseau prêt")
        assert raw.getvalue() == b"r?seau pr?t\n"
