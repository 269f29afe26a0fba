"""Benchmarks, one after another: ``python -m benchmarks [NAME ...]``, by default all."""

from __future__ import annotations

import argparse
import sys

from benchmarks import (
    cluster,
    counting,
    dashboard,
    default_run,
    enumeration,
    evaluation,
    lengths,
    noise,
    proxy_training,
    replay,
    samplers,
    sharing,
    startup,
    training,
)

BENCHMARKS = {
    "startup": startup.main,
    "counting": counting.main,
    "enumeration": enumeration.main,
    "samplers": samplers.main,
    "replay": replay.main,
    "lengths": lengths.main,
    "noise": noise.main,
    "sharing": sharing.main,
    "cluster": cluster.main,
    "dashboard": dashboard.main,
    "evaluation": evaluation.main,
    "proxy_training": proxy_training.main,
    "training": training.main,
    "default_run": default_run.main,
}

parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
names = parser.parse_args().names or list(BENCHMARKS)
for unknown in set(names) - set(BENCHMARKS):
    parser.error(f"unknown benchmark {unknown!r}; choose from {', '.join(BENCHMARKS)}")
sys.exit(max([BENCHMARKS[name]([]) for name in names]))
