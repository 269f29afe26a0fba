"""Runs a function as a user to whom file permissions apply."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import Any


def unprivileged(act: Callable[[], Any]) -> Any:
    """The result of a function, or its exception, in a child process to which file permissions apply (not root)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            result: Any = act()
        except Exception as error:
            result = error
        try:
            os.write(writing, pickle.dumps(result))
        finally:
            os._exit(0)  # whatever happens: this process must not go on with the tests
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return pickle.loads(answer)
