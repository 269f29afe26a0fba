"""The tests, in one folder for each subpackage."""

import os

# One thread for torch and for linear algebra: several would compete for the cores with the other test workers.
# Set here because both read it when they are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
