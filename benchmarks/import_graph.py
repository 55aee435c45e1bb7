"""The import graph of search/ and trainers/ and the sizes of what is in them.

python benchmarks/import_graph.py

Reads every import from the source: at module level, inside a function, and for type checkers
only. It prints circles of modules and of packages, imports that do not point down in ``LAYERS``,
the floors of packages, files and functions that are too long, and file names that stand twice
within search/. The exit status is 1 if anything is wrong. A package here is an entry of search/
or trainers/ directly: ``search.latency`` with all that is below it, or the module
``search.errors``.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("search", "trainers")

# From ground to top. A package imports only what is below its layer, never one beside it.
LAYERS = (
    (
        "trainers.spec",
        "trainers.errors",
        "trainers.files",
        "trainers.seeds",
        "trainers.threads",
        "trainers.words",
        "trainers.safe_text",
        "trainers.yaml_text",
        "trainers.dataset_summary",
    ),
    ("trainers.machine", "trainers.sums"),
    ("trainers.data",),
    ("trainers.networks",),
    ("trainers.tasks",),
    ("trainers.training", "trainers.drawing"),
    ("search.errors",),
    ("search.records", "search.runtimes", "search.catalog"),
    ("search.latency", "search.engine", "search.front", "search.predict", "search.profile"),
    ("search.space", "search.formats", "search.jobs", "search.tracking"),
    ("search.samplers", "search.results"),
    ("search.config",),
    ("search.prepare",),
    ("search.study", "search.advise", "search.retrain", "search.export"),
    ("search.report",),
    ("search.service",),
    ("search.commands",),
    ("search.cli", "search.api"),
)
FLOORS = {"search": 13, "trainers": 5}
# Functions that import what they are given.
IMPORTERS = ("import_module", "__import__")
# What has statements in it; a function, or an import by its statement, is in nothing else.
STATEMENTS = (ast.stmt, ast.excepthandler, ast.match_case)
FILE_LINES = 350
FUNCTION_LINES = 60

Graph = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Import:
    """One import statement.

    Attributes:
        module: What it imports, without ``archfront.``.
        line: Where it stands in the file.
        is_late: Whether it stands inside a function or is for type checkers only.
        names: What ``from module import ...`` takes from the module.
    """

    module: str
    line: int
    is_late: bool
    names: tuple[str, ...] = ()

    @property
    def library(self) -> str:
        """Return the top-level package."""
        return self.module.split(".")[0]


def read_imports(source: str) -> list[Import]:
    """Return every import of a source text, those by ``import_module`` too.

    Raises:
        ValueError: If an import is relative.
    """
    parts = ast.AST if any(name in source for name in IMPORTERS) else STATEMENTS
    found: list[Import] = []
    stack: list[tuple[ast.AST, bool]] = [(ast.parse(source), False)]
    while stack:
        node, is_late = stack.pop()
        if isinstance(node, ast.Import):
            found += [Import(_ours(alias.name), node.lineno, is_late) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"line {node.lineno}: imports are absolute")
            names = tuple(alias.name for alias in node.names)
            found.append(Import(_ours(str(node.module)), node.lineno, is_late, names))
        elif isinstance(node, ast.Call) and _name_of(node.func) in IMPORTERS:
            first = node.args[0]
            # A computed name is no known library as far as can be read.
            name = first.value if isinstance(first, ast.Constant) else "?"
            found.append(Import(_ours(str(name)), node.lineno, is_late))
        is_typing = isinstance(node, ast.If) and _name_of(node.test) == "TYPE_CHECKING"
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        is_late = is_late or is_typing or is_function
        inner = [child for child in ast.iter_child_nodes(node) if isinstance(child, parts)]
        stack += [(child, is_late) for child in reversed(inner)]
    return found


def _ours(module: str) -> str:
    """Return one of archfront's modules by its place in the repository, others as they are."""
    return module.removeprefix("archfront.")


def _name_of(node: ast.expr) -> str | None:
    """Return a plain name, or the last part of a dotted one; None for any other expression."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def source_files(root: Path = ROOT) -> list[Path]:
    """Return every Python file of search/ and trainers/, relative to the root, sorted."""
    return sorted(path.relative_to(root) for p in PARTS for path in (root / p).rglob("*.py"))


def imports_of(file: Path, root: Path = ROOT) -> list[Import]:
    """Return every import of a file, which is relative to the root."""
    return _imports_in(root / file)


@cache
def _imports_in(file: Path) -> list[Import]:
    return read_imports(file.read_text(encoding="utf-8"))


def module_of(file: Path) -> str:
    """Return the dotted name of a file; that of ``__init__.py`` is its package's."""
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(module: str) -> str:
    """Return the entry of search/ or trainers/ that a module is or lies in."""
    return ".".join(module.split(".")[:2])


@cache
def module_graph(root: Path = ROOT) -> Graph:
    """Return the modules of ours that each module imports.

    ``from package import module`` counts as an import of that module, ``from package import
    name`` as one of the package's ``__init__``. That Python runs the ``__init__`` of every
    package on the way does not count.
    """
    files = {module_of(file): file for file in source_files(root)}
    graph = {}
    for module, file in files.items():
        targets = set()
        for item in imports_of(file, root):
            inner = [f"{item.module}.{name}" for name in item.names]
            targets |= {name if name in files else item.module for name in inner or [item.module]}
        graph[module] = frozenset(targets & files.keys() - {module})
    return graph


def package_graph(modules: Graph) -> Graph:
    """Return the packages that each package imports, without itself."""
    targets: dict[str, set[str]] = defaultdict(set)
    for module, imported in modules.items():
        package = package_of(module)
        targets[package] |= {package_of(target) for target in imported} - {package}
    return {package: frozenset(imported) for package, imported in targets.items()}


def circles(graph: Graph) -> list[tuple[str, ...]]:
    """Return the strongly connected components of more than one node, each sorted."""
    return sorted({tuple(sorted(each)) for each in _components(graph).values() if len(each) > 1})


def _components(graph: Graph) -> dict[str, frozenset[str]]:
    """Return the strongly connected component of each node."""
    reached = {node: _reachable(graph, node) for node in graph}
    return {
        node: frozenset({node, *(other for other in found if node in reached[other])})
        for node, found in reached.items()
    }


def _reachable(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    queue = list(graph[start])
    while queue:
        node = queue.pop()
        if node not in found:
            found.add(node)
            queue += graph[node]
    return found


def upward(modules: Graph, layers: Sequence[Sequence[str]] = LAYERS) -> list[tuple[str, str]]:
    """Return the imports, as pairs of modules, that do not point to a lower layer."""
    level = {package: n for n, layer in enumerate(layers) for package in layer}
    return [
        (module, target)
        for module, imported in sorted(modules.items())
        for target in sorted(imported)
        if package_of(module) != package_of(target)
        and level.get(package_of(target), len(layers)) >= level.get(package_of(module), -1)
    ]


def unlayered(modules: Graph, layers: Sequence[Sequence[str]] = LAYERS) -> list[str]:
    """Return the packages that no layer names, and those named that are not there."""
    named = {package for layer in layers for package in layer}
    return sorted(named ^ ({package_of(module) for module in modules} - set(PARTS)))


def floors(packages: Graph, part: str) -> int:
    """Return the packages on the longest chain of imports within a part.

    A circle counts as one package.
    """
    inner = {
        package: frozenset(t for t in imported if t.startswith(f"{part}."))
        for package, imported in packages.items()
        if package.startswith(f"{part}.")
    }
    components = _components(inner)

    @cache
    def height(component: frozenset[str]) -> int:
        below = {components[target] for node in component for target in inner[node]} - {component}
        return 1 + max(map(height, below), default=0)

    return max(map(height, components.values()), default=0)


def long_files(root: Path = ROOT) -> dict[str, int]:
    """Return the lines of every file that has more than ``FILE_LINES``."""
    texts = {file: (root / file).read_text(encoding="utf-8") for file in source_files(root)}
    lengths = {str(file): len(text.splitlines()) for file, text in texts.items()}
    return {file: length for file, length in lengths.items() if length > FILE_LINES}


def long_functions(root: Path = ROOT) -> dict[str, int]:
    """Return the lines of every function over ``FUNCTION_LINES``, by ``file:function``."""
    found = {}
    for file in source_files(root):
        stack: list[ast.AST] = [ast.parse((root / file).read_text(encoding="utf-8"))]
        while stack:
            node = stack.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    found[f"{file}:{node.name}"] = length
            stack += [n for n in ast.iter_child_nodes(node) if isinstance(n, STATEMENTS)]
    return found


def repeated_names(root: Path = ROOT) -> dict[str, list[str]]:
    """Return the files of search/ that share a file name, by that name, without __init__.py."""
    named: dict[str, list[str]] = defaultdict(list)
    for file in source_files(root):
        if file.parts[0] == "search" and file.name != "__init__.py":
            named[file.name].append(str(file))
    return {name: files for name, files in named.items() if len(files) > 1}


def report(root: Path = ROOT) -> dict[str, list[str]]:
    """Return what is wrong, one line each, by what it is about."""
    modules = module_graph(root)
    packages = package_graph(modules)
    heights = {part: floors(packages, part) for part in PARTS}
    return {
        "Circles of modules": [" <-> ".join(circle) for circle in circles(modules)],
        "Circles of packages": [" <-> ".join(circle) for circle in circles(packages)],
        "Imports that do not point down": [" -> ".join(pair) for pair in upward(modules)],
        "Packages in no layer, or layers without a package": unlayered(modules),
        "Too many floors": [
            f"{part}: {height}, at most {FLOORS[part]}"
            for part, height in heights.items()
            if height > FLOORS[part]
        ],
        f"Files over {FILE_LINES} lines": [f"{n} {f}" for f, n in long_files(root).items()],
        f"Functions over {FUNCTION_LINES} lines": [
            f"{n} {f}" for f, n in long_functions(root).items()
        ],
        "File names that stand twice in search/": [
            f"{name}: {', '.join(files)}" for name, files in repeated_names(root).items()
        ],
    }


def main(root: Path = ROOT) -> int:
    """Print the graph's figures and what is wrong; return the exit status."""
    modules = module_graph(root)
    packages = package_graph(modules)
    n_imports = sum(map(len, modules.values()))
    print(f"{len(modules)} modules, {n_imports} imports between them, {len(packages)} packages")
    for part in PARTS:
        print(f"{part}: {floors(packages, part)} floors")
    found = report(root)
    for title, lines in found.items():
        print(f"{title}: {len(lines) or 'none'}")
        for line in lines:
            print(f"  {line}")
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
