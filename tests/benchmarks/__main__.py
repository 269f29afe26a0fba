"""All benchmarks, one after another: ``python -m tests.benchmarks``."""

from __future__ import annotations

import sys

from tests.benchmarks import default_run, proxy_training, startup

sys.exit(max(startup.main([]), proxy_training.main([]), default_run.main([])))
