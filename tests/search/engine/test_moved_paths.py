from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from archfront.search.engine.moved_paths import back, files_named, moved

PLACES = {"/data": "/cache/d", "/data/inner": "/cache/i", "/root": "/away/r"}


@dataclass(frozen=True)
class Request:
    folder: Path
    name: str
    inner: Any = None
    sizes: tuple[int, ...] = field(default=(1, 2))


class Pair(NamedTuple):
    first: str
    second: int


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/data", "/cache/d"),
        ("/data/a.png", "/cache/d/a.png"),
        ("/data/inner/a.png", "/cache/i/a.png"),
        ("/data/innermost", "/cache/d/innermost"),
        ("/database", "/database"),
        ("see /data/a.png", "see /data/a.png"),
        (Path("/root/studies"), Path("/away/r/studies")),
        ({"/data": "/data"}, {"/data": "/cache/d"}),
        (["/data", 3, None], ["/cache/d", 3, None]),
        (Pair("/root", 1), Pair("/away/r", 1)),
        (
            Request(Path("/root/x"), "x", inner=(Request(Path("/y"), "/data"),)),
            Request(Path("/away/r/x"), "x", inner=(Request(Path("/y"), "/cache/d"),)),
        ),
    ],
)
def test_paths_below_a_folder_lie_below_another_one(value: Any, expected: Any) -> None:
    found = moved(value, PLACES)
    assert (found, type(found)) == (expected, type(expected))
    assert moved(found, back(PLACES)) == value


@pytest.mark.parametrize(
    "value", [Request(Path("/elsewhere"), "x"), ("a", 1), {"b": "c"}, [], 3.5, Request]
)
def test_a_value_without_such_paths_is_returned_itself(value: Any) -> None:
    assert moved(value, PLACES) is value


def test_files_are_found_wherever_a_request_names_them(tmp_path: Path) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    for file in (root / "a" / "resume.pt", root / "b.npz", other / "c.npz"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    request = Request(
        root / "a",
        str(root / "b.npz"),
        inner={"resume": root / "a" / "resume.pt", "again": (str(root / "b.npz"),)},
    )
    both = [request, other / "c.npz", root / "not there"]
    assert files_named(both, root) == [root / "b.npz", root / "a" / "resume.pt"]
