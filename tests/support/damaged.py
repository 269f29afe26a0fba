"""Copies of a database with random damage."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

PAGE = 4096
KINDS = ("bytes", "letters", "header", "cut", "zeros", "swapped", *("value",) * 5)
VALUES = (
    *(
        "",
        "x",
        "{",
        "{}",
        "[]",
        "null",
        "3",
        '"a"',
        "NaN",
        "[[1]]",
        '{"a": NaN}',
        "1e999",
        "-1",
        None,
        float("inf"),
        -5,
    ),
    *(10**18, b"\xff\xfe", "running", "2020", "[1, 2]", '{"evaluator": 3}', "2024-13-99 00:00:00"),
)


def damaged_copy(whole: bytes, path: Path, seed: int) -> str:
    """Writes a copy with one damage to ``path``; returns what was done, for messages."""
    chosen = random.Random(seed)
    kind, content = chosen.choice(KINDS), bytearray(whole)
    pages = len(whole) // PAGE
    at, length = chosen.randrange(100, len(whole) - 64), chosen.randint(1, 64)
    first, second = (range(page * PAGE, (page + 1) * PAGE) for page in chosen.sample(range(pages), 2))
    match kind:
        case "bytes" | "letters":
            signs = range(256) if kind == "bytes" else range(32, 127)
            content[at : at + length] = chosen.choices(signs, k=length)
        case "header":
            content[chosen.randrange(100)] = chosen.randrange(256)
        case "cut":
            del content[at:]
        case "zeros":
            content[first.start : first.stop] = bytes(PAGE)
        case "swapped":
            content[first.start : first.stop] = whole[second.start : second.stop]
            content[second.start : second.stop] = whole[first.start : first.stop]
    path.write_bytes(content)
    return f"{seed}: {kind}" if kind != "value" else f"{seed}: {_wrong_value(path, chosen)}"


def _wrong_value(path: Path, chosen: random.Random) -> str:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA ignore_check_constraints=1")
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    table = chosen.choice(tables)
    column = chosen.choice([row[1] for row in connection.execute(f"PRAGMA table_info({table})")])
    value, where = chosen.choice(VALUES), chosen.choice(["", f" WHERE rowid = (SELECT min(rowid) FROM {table})"])
    try:
        with connection:
            connection.execute(f"UPDATE {table} SET {column} = ?{where}", [value])
    except sqlite3.Error as error:
        return f"nothing: {error}"
    finally:
        connection.close()
    return f"{table}.{column} = {value!r}{where}"
