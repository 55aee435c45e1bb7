"""The reading of the import graph, over small trees that are written for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from import_graph import (
    LAYERS,
    circles,
    floors,
    long_files,
    long_functions,
    main,
    module_graph,
    package_graph,
    repeated_names,
    report,
    unlayered,
    upward,
)


def tree(root: Path, files: Mapping[str, str]) -> Path:
    """Write files and return their root."""
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_every_kind_of_import_is_an_edge(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "search/a/__init__.py": "from archfront.search.a.one import x\n",
            "search/a/one.py": "import os\n",
            "search/a/two.py": "from archfront.search.a import one, name\n",
            "search/b/early.py": "import archfront.search.a.one\n",
            "search/b/late.py": "def f():\n    from archfront.search.a.one import x\n",
            "search/b/typing.py": "if TYPE_CHECKING:\n    from archfront.search.a.one import T\n",
            "search/b/named.py": "import_module('archfront.search.a.two')\n",
            "search/b/other.py": "from search.a import one\nimport archfront\n",
        },
    )
    assert module_graph(root) == {
        "search.a": {"search.a.one"},
        "search.a.one": set(),
        "search.a.two": {"search.a", "search.a.one"},
        "search.b.early": {"search.a.one"},
        "search.b.late": {"search.a.one"},
        "search.b.typing": {"search.a.one"},
        "search.b.named": {"search.a.two"},
        "search.b.other": {"search.a.one"},
    }


def test_circles_are_whole_and_apart() -> None:
    edges = {"a": "b", "b": "c", "c": "a", "d": "ae", "e": "d", "f": "ab", "g": ""}
    graph = {node: frozenset(targets) for node, targets in edges.items()}
    assert circles(graph) == [("a", "b", "c"), ("d", "e")]
    assert circles({"a": frozenset("b"), "b": frozenset()}) == []


def test_packages_meet_in_a_circle_where_their_modules_do_not() -> None:
    modules = {
        "search.a.one": frozenset({"search.b.one"}),
        "search.a.two": frozenset(),
        "search.b.one": frozenset(),
        "search.b.two": frozenset({"search.a.two"}),
    }
    assert circles(modules) == []
    assert circles(package_graph(modules)) == [("search.a", "search.b")]


def test_only_what_points_to_a_lower_layer_points_down() -> None:
    layers = (("trainers.x",), ("search.a", "search.b"), ("search.c",))
    modules = {
        "search.a.one": frozenset({"search.a.two", "search.b.one", "trainers.x.y"}),
        "search.a.two": frozenset({"search.c.one"}),
        "search.b.one": frozenset({"search.new.one"}),
        "search.c.one": frozenset({"search.a.one"}),
        "search.new.one": frozenset(),
        "trainers.x.y": frozenset({"search.a.one"}),
    }
    assert upward(modules, layers) == [
        ("search.a.one", "search.b.one"),
        ("search.a.two", "search.c.one"),
        ("search.b.one", "search.new.one"),
        ("trainers.x.y", "search.a.one"),
    ]
    assert unlayered(modules, layers) == ["search.new"]
    assert unlayered(modules, (*layers, ("search.new", "search.gone"))) == ["search.gone"]


def test_floors_are_the_longest_chain_within_a_part() -> None:
    edges = {
        "search.a": {"trainers.x"},
        "search.b": {"search.a"},
        "search.c": {"search.a", "search.b"},
        "search.d": {"search.a"},
        "trainers.x": set(),
    }
    packages = {package: frozenset(targets) for package, targets in edges.items()}
    assert floors(packages, "search") == 3
    assert floors(packages, "trainers") == 1
    circle = {**packages, "search.a": frozenset({"search.b"})}
    assert floors(circle, "search") == 2


def test_sizes_are_counted_to_the_line(tmp_path: Path) -> None:
    body = "    pass\n"
    root = tree(
        tmp_path,
        {
            "search/a/long.py": "x = 1\n" * 351,
            "search/a/right.py": "x = 1\n" * 350,
            "search/b/long.py": f"class K:\n  def f(self):\n{body * 60}",
            "search/b/right.py": f"def f():\n{body * 59}",
            "trainers/long.py": "",
        },
    )
    assert long_files(root) == {"search/a/long.py": 351}
    assert long_functions(root) == {"search/b/long.py:f": 61}
    assert repeated_names(root) == {
        "long.py": ["search/a/long.py", "search/b/long.py"],
        "right.py": ["search/a/right.py", "search/b/right.py"],
    }


def test_what_is_wrong_is_printed_and_is_the_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [name.replace(".", "/") for layer in LAYERS for name in layer]
    right = tree(tmp_path / "right", {f"{name}.py": "" for name in names})
    assert not any(report(right).values())
    assert main(right) == 0
    assert "Circles of modules: none" in capsys.readouterr().out
    wrong = tree(tmp_path / "wrong", {f"{name}.py": "" for name in names})
    tree(wrong, {"trainers/data.py": "import archfront.search.cli\n"})
    assert main(wrong) == 1
    assert "  trainers.data -> search.cli\n" in capsys.readouterr().out
