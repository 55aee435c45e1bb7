"""Which library is imported where, which package imports which, and how large things are.

All of it is read from the source, by ``benchmarks/import_graph.py``.
"""

from __future__ import annotations

import ast
import sys
from fnmatch import fnmatch

import import_graph
import pytest
from import_graph import ROOT, imports_of, read_imports

from archfront.search.config.compose import conf_dir
from archfront.search.engine.engines import ENGINES
from archfront.search.samplers import SAMPLERS
from archfront.trainers.data.readers import READERS
from archfront.trainers.tasks import TASKS

FILES = import_graph.source_files()
FILE_OF = {import_graph.module_of(file): file for file in FILES}

# Which files may import a library at all, inside a function too; * stands for folders as well.
DOORS = {
    "optuna": [
        "search/samplers/*.py",
        "search/records/store.py",
        "search/records/optuna_compat.py",
        "search/records/journal_table.py",
    ],
    "mlflow": [
        "search/tracking/*.py",
        "search/export/packed.py",
        "search/predict/served.py",
    ],
    "pydantic": ["search/config/*.py", "search/records/codec.py", "search/service/*.py"],
    "fastapi": ["search/service/*.py"],
    "starlette": ["search/service/*.py"],
    "uvicorn": ["search/service/server.py", "search/tracking/mlflow_server.py"],
    "sqlalchemy": [
        "search/service/*.py",
        "search/records/*.py",
        "search/latency/table_places.py",
        "search/tracking/*.py",
    ],
    "hydra": ["search/config/compose.py"],
    "omegaconf": ["search/config/compose.py"],
    "onnx": ["search/runtimes/*.py"],
    "onnxruntime": [
        "search/runtimes/*.py",
        "search/latency/memory.py",
        "trainers/training/onnx_features.py",
    ],
    "onnxscript": ["search/runtimes/*.py"],
    "openvino": ["search/runtimes/*.py", "search/latency/memory.py"],
    "nncf": ["search/runtimes/*.py"],
    "pynvml": ["search/latency/energy.py"],
    "pytorch_lightning": ["trainers/*.py"],
    "torchmetrics": ["trainers/*.py"],
    "plotly": [
        "search/report/figures.py",
        "search/report/*_figure.py",
        "search/api/study_handle.py",
    ],
    "matplotlib": ["search/report/front_png.py", "search/report/latency_png.py"],
    "jinja2": [
        "search/report/page_template.py",
        "search/export/rendering.py",
        "search/service/pages/page_routes.py",
    ],
    "markupsafe": ["search/report/document.py", "search/report/profile_page.py"],
    "torch": [
        "trainers/*.py",
        "search/latency/*.py",
        "search/runtimes/*.py",
        "search/formats/*.py",
        "search/export/*.py",
        "search/predict/openers.py",
        "search/catalog/build_catalog.py",
        "search/catalog/describe.py",
        "search/catalog/describe_fields.py",
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
    "pandas": [
        "search/export/packed.py",
        "search/predict/served.py",
        "search/api/study_handle.py",
        "search/api/client.py",
    ],
    "ray": ["search/engine/ray_*.py"],
    "submitit": ["search/engine/submitit_*.py"],
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
    "ray",
}
# But for what only the processes that build the catalog load.
BUILDERS = {
    f"search/catalog/{name}.py" for name in ("describe", "describe_fields", "describe_hub")
}
PRINTERS = {"search/cli.py", "search/config/options.py"}

TABLES = {
    ("sampler", "sampler"): SAMPLERS,
    ("engine", "engine"): ENGINES,
    ("task", "task"): TASKS,
    ("data", "reader"): READERS,
}


def loaded_with(module: str) -> set[str]:
    """Return the libraries that importing one of our modules loads, through our own modules."""
    found: set[str] = set()
    seen: set[str] = set()
    queue = [module]
    while queue:
        name = queue.pop()
        file = FILE_OF.get(name)
        if name in seen or file is None:
            continue
        seen.add(name)
        queue += [".".join(name.split(".")[:n]) for n in range(1, name.count(".") + 1)]
        for item in imports_of(file):
            if not item.is_late:
                found.add(item.library)
                queue += [item.module, *(f"{item.module}.{name}" for name in item.names)]
    return found


def test_the_reading_of_imports_sees_every_kind() -> None:
    source = (
        "import a.b, c\nfrom d.e import f\nif TYPE_CHECKING:\n    import g\n"
        "def h():\n    with i:\n        import j\n"
        "class K:\n    import l\n    m = import_module('n.o')\n"
    )
    found = [(item.module, item.is_late) for item in read_imports(source)]
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
    with pytest.raises(ValueError, match="line 1: imports are absolute"):
        read_imports("from . import a")


@pytest.mark.slow
@pytest.mark.parametrize("library", DOORS)
def test_a_library_comes_in_by_its_door_only(library: str) -> None:
    users = {str(file) for file in FILES for item in imports_of(file) if item.library == library}
    allowed = DOORS[library]
    assert {user for user in users if not any(fnmatch(user, door) for door in allowed)} == set()


def test_trainers_know_nothing_of_the_search() -> None:
    for file in FILES:
        if file.parts[0] == "trainers":
            assert [item for item in imports_of(file) if item.library == "search"] == [], file


def test_the_search_imports_nothing_heavy_by_itself() -> None:
    for file in FILES:
        if file.parts[0] == "search" and str(file) not in BUILDERS:
            early = [item for item in imports_of(file) if not item.is_late]
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
        "search.commands.profile",
        "search.commands.report",
        "search.commands.serve",
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
        "search.api.run_study",
        "search.commands.catalog",
        "search.commands.export",
        "search.commands.predict",
        "search.formats.formats",
        "search.predict.predictor",
        "search.service.app",
    ],
)
def test_what_reads_studies_loads_nothing_heavy_through_others(module: str) -> None:
    assert loaded_with(module) & (HEAVY | {"mlflow", "hydra", "plotly", "matplotlib"}) == set()


def test_only_the_command_prints() -> None:
    texts = {str(file): (ROOT / file).read_text(encoding="utf-8") for file in FILES}
    printers = {
        name
        for name, text in texts.items()
        if "print(" in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    }
    assert {p for p in printers if not p.startswith("search/commands/")} <= PRINTERS


def test_no_module_hides_one_of_the_standard_library() -> None:
    named = [str(file) for file in FILES if file.stem in sys.stdlib_module_names]
    assert named == ["search/commands/profile.py"]  # a verb's file is called like the verb


def test_no_module_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "common", "misc"}
    assert [file for file in FILES if file.stem in drawers] == []


def test_imports_point_down() -> None:
    modules = import_graph.module_graph()
    assert import_graph.unlayered(modules) == []
    assert import_graph.upward(modules) == []


def test_imports_make_no_circles() -> None:
    modules = import_graph.module_graph()
    packages = import_graph.package_graph(modules)
    assert import_graph.circles(modules) == import_graph.circles(packages) == []
    floors = {part: import_graph.floors(packages, part) for part in import_graph.FLOORS}
    assert {p for p, n in floors.items() if n > import_graph.FLOORS[p]} == set()


def test_nothing_grows_beyond_reading() -> None:
    assert import_graph.long_files() == {}
    assert import_graph.long_functions() == {}


@pytest.mark.parametrize("folder", ["tests", "benchmarks"])
def test_no_file_of_tests_or_benchmarks_is_longer_than_400_lines(folder: str) -> None:
    lines = {
        str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines())
        for file in (ROOT / folder).rglob("*.py")
    }
    assert len(lines) > 20
    assert {name: n for name, n in lines.items() if n > 400} == {}


def test_no_two_files_of_the_search_share_a_name() -> None:
    assert import_graph.repeated_names() == {}


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
    page_files = {other for other in others if fnmatch(other, "search/service/pages/static/*")}
    assert others - templates - page_files == {
        "search/catalog/catalog.csv",
        "search/catalog/published.csv",
        "search/report/draw_figures.js",
        "search/report/page_style.css",
        "search/report/profile.html.j2",
        "search/report/report.html.j2",
        "search/report/tint_figures.js",
    }
