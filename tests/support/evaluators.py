"""Evaluators for tests: slow ones, and ones that fail in the ways that real training fails."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from srsearch import architecture
from srsearch.architecture import Architecture
from srsearch.search import EvaluationFailed, Score, SyntheticEvaluator
from srsearch.search.evaluators.base import Report
from srsearch.search.evaluators.proxy import ProxyEvaluator
from srsearch.space import Space


class Troubled(SyntheticEvaluator):
    """Returns NaN, raises, runs out of memory or kills its own process, depending on the design's key."""

    @property
    def recipe(self) -> dict[str, Any]:
        return super().recipe | {"evaluator": "troubled"}

    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        match int(design.key[0], 16) % 8:
            case 0:
                return Score(float("nan"))
            case 1:
                raise EvaluationFailed("the loss was NaN at step 7")
            case 2:
                raise MemoryError
            case 3:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().evaluate(design, seed, report)


class Misbehaving(SyntheticEvaluator):
    """Misbehaves in the given ways, one evaluation after another, and then no more.

    Args:
        folder: Counts the evaluations of all processes.
        ways: What to do, in this order.
    """

    def __init__(self, folder: Path, ways: Sequence[str]) -> None:
        super().__init__()
        self._folder, self._ways = folder, ways

    @property
    def recipe(self) -> dict[str, Any]:
        return super().recipe | {"evaluator": "misbehaving"}

    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        for number, way in enumerate(self._ways):
            try:
                (self._folder / f"{number}").touch(exist_ok=False)
            except FileExistsError:
                continue
            self._misbehave(way, report)
            break
        return super().evaluate(design, seed, report)

    def _misbehave(self, way: str, report: Report) -> None:
        match way:
            case "exit":
                sys.exit(3)
            case "ctrl-c":
                raise KeyboardInterrupt
            case "unprintable":
                raise Unprintable
            case "controls":
                raise RuntimeError("red \x1b[31m nul \x00 half \ud800")
            case "recursion":
                self._misbehave(way, report)
            case "huge step":
                report(10**30, 30.0)
            case "negative step":
                report(-5, 30.0)
            case "sleep":
                time.sleep(1e6)
            case "die":
                os._exit(4)
            case "segfault":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "fork":  # the child goes on like its parent, and later
                if os.fork() == 0:
                    time.sleep(0.3)
            case "killed":  # as by the system, when it runs out of memory
                os.kill(os.getpid(), signal.SIGKILL)
            case "grandchild":  # goes on like the worker, and its parent is gone
                if os.fork() == 0:
                    if os.fork() != 0:
                        os._exit(0)
                    report(25, 99.0)
            case "orphan and die":  # the child outlives the worker
                if os.fork() == 0:
                    time.sleep(30)
                    os._exit(0)
                os._exit(4)
            case "late thread":
                threading.Timer(0.5, report, (60, 99.0)).start()
            case "print":
                print("0123456789\n" * 1_000_000)


class Unprintable(Exception):
    """Cannot be shown."""

    def __str__(self) -> str:
        raise ValueError("no text")


class Odd(SyntheticEvaluator):
    """Returns invalid scores, depending on the design's key; prints and reports nonsense."""

    @property
    def recipe(self) -> dict[str, Any]:
        return super().recipe | {"evaluator": "odd"}

    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        print("this must not get into the results")
        report(1, float("nan"))
        match int(design.key[0], 16) % 6:
            case 0:
                return Score(30.0, ssim=float("nan"))
            case 1:
                return Score(30.0, curve=((1, float("inf")),))
            case 2:
                return 30.0  # type: ignore[return-value]
            case 3:
                return Score("high")  # type: ignore[arg-type]
        return super().evaluate(design, seed, report)


class Poisoned(ProxyEvaluator):
    """Trains for real; half of the designs start with a weight that is NaN."""

    def prepare(self) -> None:
        super().prepare()
        build = architecture.build

        def poisoned(design: Architecture, *, seed: int | None = None) -> architecture.Network:
            network = build(design, seed=seed)
            if int(design.key[0], 16) % 2:
                network.entry[0].weight.data[0, 0, 0, 0] = float("nan")
            return network

        architecture.build = poisoned  # type: ignore[assignment]


class KilledTraining(ProxyEvaluator):
    """Trains for real. The worker of each of the first designs is killed once, at a step that depends on its key.

    Args:
        space: The space.
        folder: Gets a file for each kill. Beside it, ``said`` has a line for each report: key and step.
        kills: How many designs lose their worker.
    """

    def __init__(self, space: Space, folder: Path, kills: int) -> None:
        super().__init__(space, None, device="cpu")
        self._folder, self._kills = folder, kills

    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        return super().evaluate(design, seed, _KillingReport(report, self._folder, self._kills, design.key))


class _KillingReport:
    """A `Report` that kills its process."""

    def __init__(self, report: Report, folder: Path, kills: int, key: str) -> None:
        self.checkpoint = report.checkpoint
        self._report, self._folder, self._kills, self._key = report, folder, kills, key
        self._calls = 0

    def __call__(self, step: int, psnr: float) -> bool:
        with (self._folder.parent / "said").open("a") as said:
            said.write(f"{self._key} {step}\n")
        self._calls += 1
        moment = int(self._key[0], 16)
        if moment % 2:
            self._kill_at(1 + moment // 2 % 2)
        going_on = self._report(step, psnr)
        self._kill_at(1 + moment // 2 % 2)
        return going_on

    def _kill_at(self, call: int) -> None:
        mark = self._folder / self._key
        if self._calls == call and len(list(self._folder.iterdir())) < self._kills and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


class Hopeless(SyntheticEvaluator):
    """Fails for every design."""

    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        raise RuntimeError("no kernel image\nis available")


class Unready(SyntheticEvaluator):
    """Fails in `prepare`, so that no worker can start."""

    def prepare(self) -> None:
        raise OSError("the photos are gone")


class Constant(SyntheticEvaluator):
    """Gives every design the same score."""

    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        curve = tuple((step, 30.0) for step in self.RUNGS)
        return Score(30.0, 0.9, tuple(point for point in curve if report(*point)))


class Stillborn(SyntheticEvaluator):
    """The first workers are killed before they are ready, as by Linux when memory runs out.

    Args:
        folder: Gets a file for each of them. Beside it, ``vmstat`` counts as Linux does.
        kills: How many.
    """

    def __init__(self, folder: Path, kills: int) -> None:
        super().__init__()
        self._folder, self._kills = folder, kills

    def prepare(self) -> None:
        kills = len(list(self._folder.iterdir()))
        if kills < self._kills:
            (self._folder / f"{kills}").touch()
            (self._folder.parent / "vmstat").write_text(f"oom_kill_disable 7\noom_kill {kills + 1}\n")
            os.kill(os.getpid(), signal.SIGKILL)


class Changed(SyntheticEvaluator):
    """Its code is another version in every other process."""

    def __init__(self) -> None:
        super().__init__()
        self._home = os.getpid()

    @property
    def recipe(self) -> dict[str, Any]:
        return super().recipe | {"version": 1 if os.getpid() == self._home else 2}


class Slow(SyntheticEvaluator):
    """Takes 0.3 s for each design, long enough to be killed in the middle."""

    def __init__(self) -> None:
        super().__init__(seconds=0.3)


class Held(SyntheticEvaluator):
    """Waits in its third evaluation until there is a file ``go`` in the working folder."""

    evaluations = 0

    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        self.evaluations += 1
        while self.evaluations == 3 and not Path("go").exists():
            time.sleep(0.05)
        return super().evaluate(design, seed, report)


class Slower(SyntheticEvaluator):
    """Takes 3 s for each design, longer than another run needs to start."""

    def __init__(self) -> None:
        super().__init__(seconds=3)


class Demanding(SyntheticEvaluator):
    """Cannot be constructed without an argument."""

    def __init__(self, needed: int) -> None:
        super().__init__()


class NotOne:
    """Not an evaluator."""


class Silent:
    """Listens to an evaluation and lets it go on."""

    checkpoint = None

    def __call__(self, step: int, psnr: float) -> bool:
        return True


class Brief(SyntheticEvaluator):
    """Takes 0.5 s for each design; the score depends on the design and the seed alone."""

    def __init__(self) -> None:
        super().__init__(seconds=0.5)


class Homebound(SyntheticEvaluator):
    """Needs a folder that not all nodes have."""

    there = False

    @classmethod
    def elsewhere(cls) -> Homebound:
        """The same evaluator on a node that has the folder."""
        found = cls()
        found.there = True
        return found

    def prepare(self) -> None:
        if not self.there:
            raise FileNotFoundError("no photos in /data/photos")


class Brittle(SyntheticEvaluator):
    """Fails whenever it trains longer than the study does."""

    @property
    def recipe(self) -> dict[str, Any]:
        return super().recipe | {"evaluator": "brittle"}

    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        if self.steps != self.RUNGS[-1]:
            raise EvaluationFailed("the loss was NaN at step 207")
        return super().evaluate(design, seed, report)
