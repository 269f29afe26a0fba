"""Displays of a running search: a live panel on a terminal, plain lines elsewhere, nothing with ``--quiet``.

They write to standard error; standard output belongs to results. A display never ends a search: errors of a terminal
that went away are ignored.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TextIO

import pandas as pd
from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from srsearch.cli.tables import front_table
from srsearch.labels import MISSING, axis_labels, axis_text
from srsearch.quantity import format_duration, format_quantity
from srsearch.search.progress import Progress, SilentProgress, StudyInfo, TrialView
from srsearch.text import printable

_BARS = "▁▂▃▄▅▆▇█"
_FRONT_ROWS = 8


def make_progress(quiet: bool = False) -> Progress:
    """The display for standard error as it is: a live panel on a terminal, lines elsewhere, nothing when ``quiet``."""
    if quiet:
        return SilentProgress()
    try:
        drawable = sys.stderr.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")
    except (AttributeError, ValueError, OSError):  # no standard error, or a closed one
        drawable = False
    return RichProgress() if drawable else LineProgress()


@dataclass
class _AtWork:
    view: TrialView
    curve: list[tuple[int, float]] = field(default_factory=list)
    steps: int = 0

    @property
    def share(self) -> float:
        """The part of the training that is known to be done, 0..1."""
        return self.curve[-1][0] / self.steps if self.curve and self.steps else 0.0


@dataclass
class _Clock:
    """How far this run is, and how long it will take at the pace so far."""

    info: StudyInfo
    started: float
    done: int
    begun: float | None = None
    """When evaluations began: the time that workers need to start is not part of the pace."""

    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def finished(self, done: int, seconds: float | None) -> None:
        """Note that an evaluation has finished.

        Args:
            done: Evaluations of the study that are done.
            seconds: Duration of the evaluation; None if its result was reused.
        """
        self.done = done
        if self.begun is None and seconds is not None:
            self.begun = max(time.monotonic() - seconds, self.started)

    def left(self, at_work: float | None = None) -> float | None:
        """Seconds left; None before the first evaluation has finished.

        Args:
            at_work: Sum of the shares, 0..1, that are done of the trainings at work; None: half of each.
        """
        todo = max(self.info.target - self.done, 0)
        if at_work is None:
            at_work = min(self.info.workers - 1, todo) / 2
        limits = []
        if self.begun is not None and (fresh := self.done - self.info.done + at_work) > 0:
            pace = (time.monotonic() - self.begun) / fresh
            limits.append(pace * max(todo - at_work, 0.0))
        if self.info.seconds is not None:
            limits.append(max(self.info.seconds - self.elapsed(), 0.0))
        return min(limits) if limits else None


class LineProgress(Progress):
    """One line per event, for logs and pipes.

    Args:
        file: Where the lines go; standard error unless given.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file
        self._clock: _Clock | None = None
        self._views: dict[int, TrialView] = {}
        self._reached: dict[int, tuple[int, int, float]] = {}

    def study_opened(self, info: StudyInfo) -> None:
        """Say what runs, where it is stored, and how much is done."""
        self._clock = _Clock(info, time.monotonic(), info.done)
        self._print(f"{info.name}: {_opening(info)}, stored in {info.where}")

    def trial_started(self, trial: TrialView) -> None:
        """Remember the design; its line comes when it has finished."""
        self._views[trial.number] = trial

    def trial_finished(
        self, number: int, psnr: float, seconds: float, done: int, cached: bool, front: pd.DataFrame
    ) -> None:
        """Print the design's line."""
        view = self._views.pop(number, None)
        parts = [f"{psnr:.3f} dB"]
        if view:
            parts.append(f"{format_quantity(view.mult_adds)} Mult-Adds")
            parts.append(f"{format_quantity(view.params)} params")
        parts.append("known already" if cached else format_duration(seconds))
        ahead = len(front) > 0 and number in set(front["trial"])
        parts.append("new on the front" if ahead else f"front of {len(front)}")
        target = f"[{done}]"
        if self._clock:
            self._clock.finished(done, None if cached else seconds)
            target = f"[{done}/{self._clock.info.target}]"
            left = self._clock.left()
            parts += [f"{format_duration(left)} left"] if left else []
        axes = f" ({_design(view.axes, '=', ' ')})" if view and view.axes else ""
        name = f"trial {number}"
        if view is not None and view.replicate_of is not None:
            how = "with another seed" if view.steps is None else f"for {view.steps} steps"
            name = f"trial {number}, trial {view.replicate_of} {how}"
        self._print(f"{target} {name}: {', '.join(parts)}{axes}")

    def trial_report(self, number: int, step: int, steps: int, psnr: float) -> None:
        """Remember it for the line of a design that is set aside."""
        self._reached[number] = (step, steps, psnr)

    def trial_stopped(self, number: int) -> None:
        """Print how far it came."""
        view = self._views.pop(number, None)
        reached = self._reached.pop(number, None)
        how = f": {reached[2]:.3f} dB after {reached[0]} of {reached[1]} steps" if reached else ""
        cost = f" at {format_quantity(view.mult_adds)} Mult-Adds" if view else ""
        self._print(f"trial {number} set aside{how}{cost}")

    def trial_failed(self, number: int, reason: str) -> None:
        """Print the reason."""
        self._views.pop(number, None)
        self._print(f"trial {number} failed: {reason}")

    def message(self, text: str) -> None:
        """Print it."""
        self._print(text)

    def warning(self, text: str) -> None:
        """Print it, marked."""
        self._print(f"warning: {text}")

    def _print(self, text: str) -> None:
        file = self._file or sys.stderr
        if file is None:
            return
        try:
            line = printable(text)
            encoding = getattr(file, "encoding", None) or "utf-8"
            # A log in ASCII gets question marks rather than no line.
            print(line.encode(encoding, "replace").decode(encoding), file=file, flush=True)
        except (OSError, ValueError, LookupError):  # a broken pipe, a closed file, an encoding nobody knows
            pass


class RichProgress(Progress):
    """A live panel: the study, how far it is, the designs at work with their curves, the front, the last messages.

    Warnings are also printed above the panel, where they stay.

    Args:
        console: Where to draw; a console on standard error unless given.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._lock = threading.RLock()  # rich draws from a thread of its own
        self._clock: _Clock | None = None
        self._at_work: dict[int, _AtWork] = {}
        self._front = pd.DataFrame()
        self._failed = self._aside = 0
        self._known = 0
        self._notes: deque[Text] = deque(maxlen=3)
        # The panel goes when the search ends (the command prints its results there); only standard error is
        # redirected, as standard output may be a document.
        self._live = Live(
            get_renderable=lambda: _Screen(self._draw),
            console=self._console,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
        )

    def study_opened(self, info: StudyInfo) -> None:
        """Show the panel."""
        with self._lock:
            self._clock = _Clock(info, time.monotonic(), info.done)
        if info.resumed:
            self.message(f"continues: {info.done} of {info.target} designs were done")
        self._attempt(self._live.start)

    def trial_started(self, trial: TrialView) -> None:
        """Show the design at work."""
        with self._changing():
            self._at_work[trial.number] = _AtWork(trial)

    def trial_report(self, number: int, step: int, steps: int, psnr: float) -> None:
        """Lengthen the design's curve."""
        with self._changing():
            if work := self._at_work.get(number):
                work.curve.append((step, psnr))
                work.steps = steps

    def trial_finished(
        self, number: int, psnr: float, seconds: float, done: int, cached: bool, front: pd.DataFrame
    ) -> None:
        """Move the bar and show the front as it is now."""
        with self._changing():
            work = self._at_work.pop(number, None)
            self._known += cached and (work is None or work.view.replicate_of is None)
            self._front = front
            if self._clock:
                self._clock.finished(done, None if cached else seconds)
            how = "known already" if cached else f"in {format_duration(seconds)}"
            ahead = len(front) > 0 and number in set(front["trial"])
            text = f"trial {number}: {psnr:.3f} dB {how}{', new on the front' if ahead else ''}"
            self._notes.append(Text(text, style="green" if ahead else "dim"))

    def trial_stopped(self, number: int) -> None:
        """Count it."""
        with self._changing():
            self._at_work.pop(number, None)
            self._aside += 1

    def trial_failed(self, number: int, reason: str) -> None:
        """Note the reason."""
        with self._changing():
            self._at_work.pop(number, None)
            self._failed += 1
            self._notes.append(Text(printable(f"trial {number} failed: {reason}"), style="red"))

    def message(self, text: str) -> None:
        """Print it above the panel, where it stays."""
        line = Text(printable(text))
        self._attempt(lambda: self._console.print(line))

    def warning(self, text: str) -> None:
        """Print it above the panel."""
        line = Text.assemble(("warning: ", "bold yellow"), printable(text))
        self._attempt(lambda: self._console.print(line))

    def study_closed(self) -> None:
        """Take the panel away and give the terminal back; leaves one line. May be called twice."""
        started = self._live.is_started
        self._attempt(self._live.stop)
        if started and self._clock:
            failed = f", {self._failed} failed" if self._failed else ""
            failed += f", {self._aside} set aside" if self._aside else ""
            clock = self._clock
            took = format_duration(clock.elapsed())
            known = self._known + clock.info.known
            known_text = f" ({clock.done} new, {known} known)" if known else ""
            line = f"{clock.info.name}: {clock.done} of {clock.info.target} designs{known_text}, {took}{failed}"
            self._attempt(lambda: self._console.print(Text(printable(line), style="dim")))

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock:
            yield
        if self._live.is_started:
            self._attempt(self._live.refresh)

    @staticmethod
    def _attempt(draw: Callable[[], object]) -> None:
        with suppress(OSError, ValueError):  # the terminal went away: the search goes on without it
            draw()

    def _draw(self, width: int) -> RenderableType:
        with self._lock:
            if self._clock is None:
                return Text("")
            parts: list[RenderableType] = [self._bar(width - 4)]
            if self._at_work:
                parts += [Text(""), *(self._at_work_lines(width - 4))]
            if len(self._front):
                parts += [Text(""), front_table(_spread(self._front), width - 4)]
                if len(self._front) > _FRONT_ROWS:
                    parts.append(Text(f"{_FRONT_ROWS} of the {len(self._front)} designs on the front", style="dim"))
            if self._notes:
                parts += [Text(""), *(_one_line(note.copy()) for note in self._notes)]
            info = self._clock.info
            title = Text.assemble((" " + printable(info.name), "bold"), (f"  {printable(info.where)} ", "dim"))
            title.truncate(max(width - 6, 8), overflow="ellipsis")
            return Panel(
                Group(*parts), title=title, title_align="left", box=box.ROUNDED, border_style="dim", padding=(0, 1)
            )

    def _bar(self, width: int) -> RenderableType:
        assert self._clock is not None
        clock = self._clock
        at_work = sum(work.share for work in self._at_work.values())
        left = clock.left(at_work)
        counted = f"{clock.done} of {clock.info.target}"
        row = Table.grid(padding=(0, 2), expand=True)
        row.add_column(no_wrap=True)
        row.add_column(ratio=1)
        row.add_column(no_wrap=True, justify="right")
        row.add_row(
            Text(counted, style="bold"),
            ProgressBar(
                total=max(clock.info.target, 1),
                completed=min(clock.done + at_work, clock.info.target),
                complete_style="cyan",
                finished_style="green",
            ),
            Text.assemble(
                format_duration(clock.elapsed()),
                ("  left ", "dim"),
                (format_duration(left) if left is not None else MISSING, "bold"),
            ),
        )
        return row

    def _at_work_lines(self, width: int) -> list[RenderableType]:
        lines: list[RenderableType] = []
        for work in sorted(self._at_work.values(), key=lambda work: work.view.number):
            view = work.view
            psnr = f"{work.curve[-1][1]:.2f} dB" if work.curve else "starting"
            step = f"{work.curve[-1][0]}/{work.steps}" if work.curve else ""
            head = Text.assemble(
                (f"#{view.number:<4}", "bold cyan"),
                (f"{sparkline([psnr for _, psnr in work.curve]):<8} ", "cyan"),
                f"{psnr:<9}",
                (f"{step:>9}  ", "dim"),
                f"{format_quantity(view.mult_adds):>6} ",
                (f"{format_quantity(view.params):>6}  ", "dim"),
            )
            design = Text(printable(_design(view.axes, " ", " · ")), style="dim")
            # Beside the figures where there is room for most of it, else on a line of its own.
            if head.cell_len + 40 <= width:
                lines.append(_one_line(head.append_text(design)))
            else:
                lines += [_one_line(head), _one_line(Text("     ").append_text(design))]
        return lines


@dataclass(frozen=True)
class _Screen:
    """Draws at the width the console has at that moment."""

    draw: Callable[[int], RenderableType]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.draw(options.max_width)


def sparkline(values: list[float], most: int = 8) -> str:
    """A curve in one line of text: its last ``most`` values as blocks between the lowest and the highest of them."""
    shown = [value for value in values if math.isfinite(value)][-most:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    top = len(_BARS) - 1
    return "".join(
        _BARS[round((value - low) / (high - low) * top)] if high > low else _BARS[top // 2] for value in shown
    )


def _opening(info: StudyInfo) -> str:
    workers = f"{info.workers} workers" if info.workers > 1 else "1 worker"
    space = f", {info.space_size:,} designs in the space" if info.space_size is not None else ""
    known = f" ({info.done} new, {info.known} known)" if info.known else ""
    start = (
        f"continues, {info.done} of {info.target} done{known}" if info.resumed else f"{info.target} designs to train"
    )
    return f"{start}, {workers}{space}"


def _spread(front: pd.DataFrame) -> pd.DataFrame:
    """At most `_FRONT_ROWS` rows, evenly along the front, with both its ends."""
    if len(front) <= _FRONT_ROWS:
        return front
    last = len(front) - 1
    return front.iloc[[round(i * last / (_FRONT_ROWS - 1)) for i in range(_FRONT_ROWS)]]


def _design(axes: Mapping[str, object], between: str, apart: str) -> str:
    labels = axis_labels(axes)
    words = {name: axis_text(value) for name, value in axes.items()}
    return apart.join(f"{labels[name]}{between}{word}" for name, word in words.items() if word != MISSING)


def _one_line(text: Text) -> Text:
    text.no_wrap = True
    text.overflow = "ellipsis"
    return text
