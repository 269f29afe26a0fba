"""Evaluators that go wrong in the ways that real training does."""

from __future__ import annotations

import os
import signal
from typing import Any

from srsearch import architecture
from srsearch.architecture import Architecture
from srsearch.search import EvaluationFailed, Score, SyntheticEvaluator
from srsearch.search.evaluators.base import Report
from srsearch.search.evaluators.proxy import ProxyEvaluator


class Troubled(SyntheticEvaluator):
    """By the design's key: some give NaN, some raise, some kill their own process, one runs out of memory."""

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


class Odd(SyntheticEvaluator):
    """Gives what an evaluator must not give, by the design's key; prints and reports nonsense."""

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
    """Trains for real, half of the designs from a weight that is no number."""

    def prepare(self) -> None:
        super().prepare()
        build = architecture.build

        def poisoned(design: Architecture, *, seed: int | None = None) -> architecture.Network:
            network = build(design, seed=seed)
            if int(design.key[0], 16) % 2:
                network.entry[0].weight.data[0, 0, 0, 0] = float("nan")
            return network

        architecture.build = poisoned  # type: ignore[assignment]


class Hopeless(SyntheticEvaluator):
    """Fails for every design."""

    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        raise RuntimeError("no kernel image\nis available")


class Unready(SyntheticEvaluator):
    """Cannot start."""

    def prepare(self) -> None:
        raise OSError("the photos are gone")


class Constant(SyntheticEvaluator):
    """Finds nothing to tell designs apart by."""

    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        curve = tuple((step, 30.0) for step in self.RUNGS)
        return Score(30.0, 0.9, tuple(point for point in curve if report(*point)))


class Slow(SyntheticEvaluator):
    """Takes long enough to be killed in the middle."""

    def __init__(self) -> None:
        super().__init__(seconds=0.3)


class Slower(SyntheticEvaluator):
    """Takes longer than another run needs to start."""

    def __init__(self) -> None:
        super().__init__(seconds=3)


class Demanding(SyntheticEvaluator):
    """Cannot be made without an argument."""

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
    """The score is a function of the design and the seed; it takes a tenth of a second."""

    def __init__(self) -> None:
        super().__init__(seconds=0.1)


class Homebound(SyntheticEvaluator):
    """Needs a folder that is not on every node."""

    there = False

    @classmethod
    def elsewhere(cls) -> Homebound:
        """Where the folder is."""
        found = cls()
        found.there = True
        return found

    def prepare(self) -> None:
        if not self.there:
            raise FileNotFoundError("no photos in /data/photos")
