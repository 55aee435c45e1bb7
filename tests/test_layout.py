"""The doors: which library is imported where, read from every import of the source."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

from archfront.search.config.compose import conf_dir
from archfront.search.engine import ENGINES
from archfront.search.samplers import SAMPLERS
from archfront.trainers.data.readers import READERS
from archfront.trainers.tasks import TASKS

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(
    path.relative_to(ROOT)
    for part in ("search", "trainers")
    for path in (ROOT / part).rglob("*.py")
)
LINES = 400

# Which files may import a library at all, inside a function too; * stands for folders as well.
DOORS = {
    "optuna": ["search/samplers/*.py", "search/records/store.py"],
    "mlflow": [
        "search/tracking/tracker.py",
        "search/tracking/registry.py",
        "search/export/packed.py",
        "search/predict/served.py",
    ],
    "pydantic": ["search/records/codec.py"],
    "hydra": ["search/config/compose.py"],
    "omegaconf": ["search/config/compose.py"],
    "onnx": ["search/runtimes/*.py"],
    "onnxruntime": ["search/runtimes/*.py", "search/latency/memory.py"],
    "onnxscript": ["search/runtimes/*.py"],
    "openvino": ["search/runtimes/*.py", "search/latency/memory.py"],
    "nncf": ["search/runtimes/*.py"],
    "pynvml": ["search/latency/energy.py"],
    "pytorch_lightning": ["trainers/*.py"],
    "torchmetrics": ["trainers/*.py"],
    "plotly": ["search/report/figures.py", "search/report/*_figure.py"],
    "matplotlib": ["search/report/front_png.py", "search/report/latency_png.py"],
    "jinja2": ["search/report/document.py", "search/export/rendering.py"],
    "markupsafe": ["search/report/document.py"],
    "torch": [
        "trainers/*.py",
        "search/latency/*.py",
        "search/runtimes/*.py",
        "search/formats/*.py",
        "search/export/*.py",
        "search/predict/openers.py",
        "search/catalog/build_catalog.py",
        "search/catalog/describe.py",
        "search/catalog/describe_hub.py",
    ],
    "timm": [
        "trainers/*.py",
        "search/latency/*.py",
        "search/runtimes/*.py",
        "search/catalog/build_catalog.py",
        "search/catalog/describe.py",
    ],
    "torchvision": ["trainers/*.py", "search/predict/openers.py"],
    "transformers": ["trainers/networks/hf/*.py"],
    "faster_coco_eval": ["trainers/*.py", "search/predict/draw.py"],
    "pandas": ["search/export/packed.py", "search/predict/served.py"],
    "segmentation_models_pytorch": [
        "trainers/networks/segmenters/*.py",
    ],
}
# What takes seconds to import, so that search/ never does so at module level.
HEAVY = {
    "torch",
    "timm",
    "torchvision",
    "segmentation_models_pytorch",
    "pytorch_lightning",
    "torchmetrics",
    "transformers",
    "onnxruntime",
    "openvino",
    "nncf",
}
# But for what only the processes that build the catalog load.
BUILDERS = {"search/catalog/describe.py", "search/catalog/describe_hub.py"}
PRINTERS = {"search/cli.py", "search/config/options.py"}

TABLES = {
    ("sampler", "sampler"): SAMPLERS,
    ("engine", "engine"): ENGINES,
    ("task", "task"): TASKS,
    ("data", "reader"): READERS,
}


@dataclass(frozen=True)
class Import:
    """One imported module; ``is_late`` inside a function or for type checkers only."""

    module: str
    line: int
    is_late: bool

    @property
    def library(self) -> str:
        return self.module.split(".")[0]


@cache
def imports(file: Path) -> list[Import]:
    """Return every import of a file."""
    return list(_walk(ast.parse((ROOT / file).read_text(encoding="utf-8")), is_late=False))


def _walk(node: ast.AST, *, is_late: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(_ours(alias.name), child.lineno, is_late)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            yield Import(_ours(str(child.module)), child.lineno, is_late)
        elif isinstance(child, ast.Call) and _called(child) in ("import_module", "__import__"):
            first = child.args[0]
            # A computed name is none of the doors' libraries as far as can be read.
            name = first.value if isinstance(first, ast.Constant) else "?"
            yield Import(_ours(str(name)), child.lineno, is_late)
        is_typing = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _walk(child, is_late=is_late or is_typing or is_function)


def _ours(module: str) -> str:
    """Return a module by its place in the repository, others as they are."""
    return module.removeprefix("archfront.")


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)


def loaded_with(module: str) -> set[str]:
    """Return the libraries that importing one of our modules loads, through our own modules."""
    found: set[str] = set()
    seen: set[str] = set()
    queue = [module]
    while queue:
        name = queue.pop()
        file = _file(name)
        if name in seen or file is None:
            continue
        seen.add(name)
        queue += [".".join(name.split(".")[:n]) for n in range(1, name.count(".") + 1)]
        for item in imports(file):
            if not item.is_late:
                found.add(item.library)
                queue.append(item.module)
    return found


def _file(module: str) -> Path | None:
    base = Path(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path in FILES:
            return path
    return None


def test_the_reading_of_imports_sees_every_kind() -> None:
    source = (
        "import a.b, c\nfrom d.e import f\nif TYPE_CHECKING:\n    import g\n"
        "def h():\n    with i:\n        import j\n"
        "class K:\n    import l\n    m = import_module('n.o')\n"
    )
    found = [(item.module, item.is_late) for item in _walk(ast.parse(source), is_late=False)]
    assert sorted(found) == [
        ("a.b", False),
        ("c", False),
        ("d.e", False),
        ("g", True),
        ("j", True),
        ("l", False),
        ("n.o", False),
    ]
    assert len(FILES) > 50


@pytest.mark.parametrize("library", DOORS)
def test_a_library_comes_in_by_its_door_only(library: str) -> None:
    users = {str(file) for file in FILES for item in imports(file) if item.library == library}
    allowed = DOORS[library]
    assert {user for user in users if not any(fnmatch(user, door) for door in allowed)} == set()


def test_trainers_know_nothing_of_the_search() -> None:
    for file in FILES:
        if file.parts[0] == "trainers":
            assert [item for item in imports(file) if item.library == "search"] == [], file


def test_the_search_imports_nothing_heavy_by_itself() -> None:
    for file in FILES:
        if file.parts[0] == "search" and str(file) not in BUILDERS:
            early = [item for item in imports(file) if not item.is_late]
            assert [item for item in early if item.library in HEAVY] == [], file


def test_what_a_module_loads_is_followed_through_ours() -> None:
    assert "numpy" in loaded_with("search.report.document")
    assert "torch" in loaded_with("trainers.training.proxy")
    assert "optuna" in loaded_with("search.commands.list")


@pytest.mark.parametrize(
    "module",
    [
        "search.cli",
        "search.commands.delete",
        "search.commands.front",
        "search.commands.list",
        "search.commands.report",
        "search.commands.show",
        "search.config.schema",
        "search.config.compose",
        "search.config.options",
        "search.results.results",
        "search.report.document",
        "search.report.pages",
        "search.front.members",
        "search.records.evaluation",
        "search.records.candidate",
        "search.report.figures",
        "search.report.terminal",
        "search.space.space",
        "search.catalog",
        "search.catalog.build_catalog",
        "search.commands.catalog",
        "search.commands.export",
        "search.commands.predict",
        "search.formats.formats",
        "search.predict.predictor",
    ],
)
def test_what_reads_studies_loads_nothing_heavy_through_others(module: str) -> None:
    assert loaded_with(module) & (HEAVY | {"mlflow", "hydra", "plotly", "matplotlib"}) == set()


def test_only_the_command_prints() -> None:
    printers = {
        str(file)
        for file in FILES
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    }
    assert {p for p in printers if not p.startswith("search/commands/")} <= PRINTERS


def test_no_module_hides_one_of_the_standard_library() -> None:
    assert [file for file in FILES if file.stem in sys.stdlib_module_names] == []


def test_no_module_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "common", "misc"}
    assert [file for file in FILES if file.stem in drawers] == []


def test_no_file_grows_beyond_reading() -> None:
    lengths = {str(file): len((ROOT / file).read_text().splitlines()) for file in FILES}
    assert {file: length for file, length in lengths.items() if length > LINES} == {}


@pytest.mark.parametrize(("group", "option"), TABLES, ids=lambda value: value)
def test_every_entry_of_a_table_has_its_file(group: str, option: str) -> None:
    names = {path.stem for path in (conf_dir() / group).glob("*.yaml")}
    assert set(TABLES[group, option]) <= names


def test_every_package_file_that_is_no_module_is_known() -> None:
    """A stray file in a package would be shipped in the wheel."""
    others = {
        str(path.relative_to(ROOT))
        for part in ("search", "trainers")
        for path in (ROOT / part).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    templates = {other for other in others if fnmatch(other, "*/templates/*.j2")}
    assert others - templates == {
        "search/catalog/catalog.csv",
        "search/catalog/published.csv",
        "search/report/report.html.j2",
    }
