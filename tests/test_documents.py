"""The documents: their links, their commands, the files and verbs that they name."""

from __future__ import annotations

import argparse
import re
import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from archfront.search.cli import VERBS, main
from tests.support import foreign_packages, forked
from tests.support.command import Output, fails
from tests.support.drawn_images import draw_folder
from tests.support.own_processes import SMALLEST

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ("benchmarks/RESULTS.md", "benchmarks/LOG.md")
PAGES = sorted(
    str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))
)
TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in (*PAGES, *BENCHMARKS)}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# A run in the smallest of spaces, whatever the document asks for.
TINY = (*SMALLEST, "budget.trials=1", "hardware.limits.latency_ms=null")
# What stands for a value in the usage of a verb.
PLACEHOLDERS = {"STUDY": "flowers", "DIR": "knee", "N": "1", "VERB": "run"}
# What a test has no network, no weights, no other device, no cluster and no database for.
ELSEWHERE = (
    *("data.download=true", "space.weights=pretrained", "hardware.device=Pixel 8"),
    *("engine=ray", "engine=submitit", "tracking=postgres"),
)
DATABASE = "postgresql+pg8000://ann:secret@db:5432/studies"


pytestmark = pytest.mark.usefixtures("own_folder", "known_profiles")


class Parsed(Exception):
    """Raised where a verb would begin: its words are right."""


def blocks(text: str) -> list[str]:
    """Return the lines of all code blocks, joined where a backslash ends one."""
    found = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return "".join(found).replace("\\\n", " ").splitlines()


def words_of(line: str) -> list[str]:
    return shlex.split(re.split(r" +#", line)[0])[1:]


def typed(text: str) -> list[str]:
    """Return the commands of code blocks."""
    lines = [line.removeprefix("$ ").strip() for line in blocks(text)]
    return [re.split(r"  +#", line)[0] for line in lines if line.startswith("archfront ")]


def quoted(text: str) -> list[str]:
    """Return the commands within sentences and tables."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(found.split()) for found in re.findall(r"`(archfront [^`]+)`", plain)]


def every(*kinds: Any) -> list[str]:
    return sorted({line for text in TEXTS.values() for kind in kinds for line in kind(text)})


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def anchors(text: str) -> set[str]:
    plain = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", plain, re.MULTILINE)}


@pytest.mark.parametrize("page", TEXTS)
def test_every_link_of_a_document_leads_somewhere(page: str) -> None:
    lost = []
    for target in LINK.findall(TEXTS[page]):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        if not path.exists() or (anchor and anchor not in anchors(path.read_text("utf-8"))):
            lost.append(target)
    assert lost == []


def test_a_link_to_a_heading_is_compared_as_github_names_it() -> None:
    assert anchors("# Files\n\n## An export: `a`, *b*\n```\n# no heading\n```\n") == {
        "files",
        "an-export-a-b",
    }


@pytest.mark.parametrize("page", TEXTS)
def test_every_file_that_a_document_names_is_there(page: str) -> None:
    named = re.findall(
        r"(?<![\w./])(?:search|trainers|conf|tests|benchmarks|docs)/[\w./*-]*\w", TEXTS[page]
    )
    assert [name for name in dict.fromkeys(named) if not list(ROOT.glob(name))] == []


def rooms() -> list[tuple[str, str]]:
    """Return folder and file of every row of the tables of rooms."""
    found = []
    for part, table in re.findall(
        r"^\*\*(search|trainers)/\*\*.*?\n\n((?:\|.*\n)+)", TEXTS["docs/architecture.md"], re.M
    ):
        for row in table.splitlines()[2:]:
            first, *_, files = row.strip("| ").split(" | ")
            folder = Path(part, first.strip("`/")) if first.endswith("/`") else Path(part)
            found += [(str(folder), name) for name in re.findall(r"`([\w.]+\.\w+)`", files)]
    return found


def test_every_room_of_the_architecture_has_the_files_that_are_said_to_be_in_it() -> None:
    found = rooms()
    assert len(found) > 80
    assert [place for place in found if not (ROOT / Path(*place)).is_file()] == []


def test_the_architecture_names_every_room() -> None:
    text = TEXTS["docs/architecture.md"]
    folders = [
        path
        for part in ("search", "trainers")
        for path in (ROOT / part).iterdir()
        if path.is_dir()
    ]
    names = {path.name for path in folders if (path / "__init__.py").is_file()}
    assert {name for name in names if f"| `{name}/` |" not in text} == set()


def test_the_documents_have_commands_of_both_kinds() -> None:
    assert len(every(typed)) > 30
    assert len(every(quoted)) > 20


def test_the_readme_names_every_verb() -> None:
    named = {line.split()[1] for line in quoted(TEXTS["README.md"])}
    assert set(VERBS) - named == set()


@pytest.mark.parametrize("command", every(typed, quoted))
def test_every_command_of_the_documents_has_a_verb_and_flags_that_are_known(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    words = [PLACEHOLDERS.get(word, word) for word in words_of(command)]
    if len(words) == 1 or words[-1].endswith("..."):
        assert words[0] in {*VERBS, "--help"}
        return
    parse = argparse.ArgumentParser.parse_known_intermixed_args

    def parsed(parser: argparse.ArgumentParser, *given: Any) -> None:
        _, unknown = parse(parser, *given)
        assert unknown == []
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_intermixed_args", parsed)
    if "--help" in words:
        with pytest.raises(SystemExit, match="0"):
            main(words)
    else:
        with pytest.raises(Parsed):
            main(words)
    assert capsys.readouterr().err == ""


def composing() -> list[str]:
    """Return the commands whose words are a configuration, without those that show an error."""
    shown = [re.findall(r"^\$ (archfront .*)\narchfront: ", t, re.M) for t in TEXTS.values()]
    errors = {line for lines in shown for line in lines}
    verbs = ("run ", "advise ", "latency measure ", "catalog space ", "weights fetch ")
    return [
        line
        for line in every(typed, quoted)
        if line.removeprefix("archfront ").startswith(verbs)
        and "=" in line
        and line not in errors
        and not line.endswith("...")
    ]


@pytest.mark.slow
@pytest.mark.parametrize("command", composing())
def test_every_configuration_of_the_documents_composes(
    command: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHFRONT_STORAGE_URL", DATABASE)
    words = [word for word in words_of(command) if re.match(r"[a-z_.]+=", word)]
    if not any(word.startswith(("data", "experiment")) for word in words):
        words.append("data.root=photos")
    assert main(["run", *words, "--cfg=job"]) == 0
    assert capsys.readouterr().out.startswith("study:")


@pytest.mark.parametrize(
    "command", [line for line in every(typed) if line.startswith("archfront catalog ")]
)
def test_every_question_to_the_catalog_has_an_answer(command: str, capsys: Output) -> None:
    words = words_of(command)
    if words[1] != "build":
        assert main(words) == 0
        assert len(capsys.readouterr().out.splitlines()) > 1


def small_runs() -> list[str]:
    """Return the runs of code blocks, without one whose words are all in another."""
    lines = sorted({line for page in PAGES for line in typed(TEXTS[page])})
    runs = {
        line: set(words_of(line))
        for line in lines
        if line.startswith("archfront run ") and "acuracy" not in line and "--server" not in line
    }
    return [
        line for line, words in runs.items() if not any(words < more for more in runs.values())
    ]


@pytest.mark.slow
@pytest.mark.parametrize("command", small_runs())
def test_every_run_of_the_documents_works_in_small(
    own_folder: Path,
    tmp_path: Path,
    capsys: Output,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    if "tracking=postgres" in command:
        monkeypatch.setenv("ARCHFRONT_STORAGE_URL", DATABASE)
    for folder in (tmp_path / "home" / "my flowers", own_folder / "photos"):
        draw_folder(folder, {"daisy": 12, "rose": 12})
    words, tiny = words_of(command), list(TINY)
    if "experiment=digits" in words:
        tiny += ["data.train=120", "data.val=90", "data.test=90", "budget.folds=0"]
    if any(word in ELSEWHERE for word in words):
        words.append("--cfg=job")
        tiny.remove("space.weights=none")
    # The first run starts its worker anew, which imports torch for seconds, and beside packages
    # of a user's own that have the names of ours.
    is_first = command == small_runs()[0]
    if is_first:
        monkeypatch.syspath_prepend(foreign_packages.write(tmp_path / "own code"))
    with nullcontext() if is_first else forked.workers():
        assert main([*words, *tiny]) == 0
    assert capsys.readouterr().out


def test_the_errors_that_the_documents_show_are_those_of_the_command(capsys: Output) -> None:
    shown = [
        (command, message)
        for page in PAGES
        for command, message in re.findall(
            r"^\$ (archfront .*?)\n(archfront: .*?)^```", TEXTS[page], re.M | re.S
        )
    ]
    assert shown
    for command, message in shown:
        assert "archfront: " + fails(capsys, 2, *words_of(command)) + "\n" == message
