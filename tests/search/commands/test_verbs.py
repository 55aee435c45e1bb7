"""One mechanism for all verbs: a file each, whose flags may stand before the verb too."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

import pytest

from archfront.search import cli
from archfront.search.cli import VERBS, main
from tests.support.command import Output, fails

COMMANDS = Path(cli.__file__).parent / "commands"
PARSERS = {verb: cli._parser(verb) for verb in VERBS}
FLAGS = [
    (verb, flag)
    for verb, parser in PARSERS.items()
    for flag, action in parser._option_string_actions.items()
    if not isinstance(action, argparse._HelpAction)
]
WITH_VALUE = [
    (verb, flag)
    for verb, flag in FLAGS
    if PARSERS[verb]._option_string_actions[flag].nargs is None
]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[argparse.Namespace]:
    """Return the arguments with which verbs are called, in place of what they do."""
    found: list[argparse.Namespace] = []
    for verb in VERBS:
        module = import_module(f"archfront.search.commands.{verb}")
        monkeypatch.setattr(module, "call", lambda arguments: found.append(arguments) or 0)
    return found


def value_of(action: argparse.Action) -> str:
    """Return a word that an argument takes."""
    if action.choices is not None:
        return str(next(iter(action.choices)))
    return {int: "5", float: "0.5"}.get(action.type, "some")  # type: ignore[arg-type]


def needed(verb: str, but: str) -> list[str]:
    """Return the words without which a verb is not called, except for one flag."""
    words = []
    for action in PARSERS[verb]._actions:
        if action.option_strings and action.required and but not in action.option_strings:
            words += [action.option_strings[0], value_of(action)]
        elif not action.option_strings and action.nargs != "*":
            words.append(value_of(action))
    return words


def test_every_verb_is_a_file_and_every_file_with_a_call_is_a_verb() -> None:
    with_call = {
        path.stem
        for path in COMMANDS.glob("*.py")
        if hasattr(import_module(f"archfront.search.commands.{path.stem}"), "call")
    }
    assert with_call == set(VERBS)


def test_the_walk_over_the_parsers_finds_their_flags() -> None:
    assert ("refit", "--seeds") in WITH_VALUE
    assert ("latency", "--yes") in FLAGS
    assert ("latency", "--yes") not in WITH_VALUE
    assert len(FLAGS) > 100


@pytest.mark.parametrize(("verb", "flag"), FLAGS)
def test_a_flag_before_the_verb_means_what_it_means_after(
    parsed: list[argparse.Namespace], verb: str, flag: str
) -> None:
    """Of 25 flags the value was taken for the verb: "Unknown verb '5'" of --seeds 5 refit x."""
    given = [flag]
    if (verb, flag) in WITH_VALUE:
        given.append(value_of(PARSERS[verb]._option_string_actions[flag]))
    rest = needed(verb, flag)
    assert main([verb, *rest, *given]) == 0
    assert main([*given, verb, *rest]) == 0
    assert main(["=".join(given), verb, *rest]) == 0
    after, before, joined = parsed
    assert before == after
    assert joined == after


@pytest.mark.parametrize(("verb", "flag"), WITH_VALUE)
@pytest.mark.parametrize("value", ["list", "predict"])
def test_a_value_may_be_the_name_of_a_verb(
    parsed: list[argparse.Namespace], verb: str, flag: str, value: str
) -> None:
    action = PARSERS[verb]._option_string_actions[flag]
    if action.choices is not None or action.type not in (None, Path):
        value = value_of(action)
    rest = needed(verb, flag)
    assert main([verb, *rest, flag, value]) == 0
    assert main([flag, value, verb, *rest]) == 0
    assert parsed[0] == parsed[1]


def test_several_flags_of_a_verb_may_stand_before_it(parsed: list[argparse.Namespace]) -> None:
    words = ["--root", "list", "--seeds", "5", "--distill", "--members=knee,best"]
    assert main([*words, "refit", "flowers"]) == 0
    (found,) = parsed
    assert (found.study, found.root, found.seeds) == ("flowers", Path("list"), 5)
    assert (found.distill, found.members) == (True, "knee,best")


def test_a_verb_that_is_none_is_found_behind_flags(capsys: Output) -> None:
    assert fails(capsys, 2, "--seeds", "5", "reft", "flowers").startswith(
        "Unknown verb 'reft'. Did you mean refit?"
    )
    assert fails(capsys, 2, "--json", "fornt", "flowers").startswith("Unknown verb 'fornt'.")
    told = fails(capsys, 2, "remove", "flowers")
    assert told.startswith("Unknown verb 'remove'. Did you mean delete?")
    assert fails(capsys, 2, "--json").startswith("Unknown verb '--json'.")


def test_a_flag_that_a_verb_does_not_take_is_named(capsys: Output) -> None:
    assert "--jsn: archfront list takes no such word" in fails(capsys, 2, "--jsn", "list")
    assert "--seeds: archfront list takes no" in fails(capsys, 2, "--seeds", "5", "list")
    for word, flag in (
        ("tracking.root=x", "--root x"),
        ("tracking.storage_url=x", "--storage-url x"),
    ):
        said = fails(capsys, 2, "front", "flowers", word)
        assert said == f"{word}: archfront front takes flags, so write {flag}."


def test_the_help_of_a_verb_keeps_its_names(capsys: Output) -> None:
    with pytest.raises(SystemExit):
        main(["front", "--help"])
    assert "The Pareto front of a study as a table, CSV or JSON." in capsys.readouterr().out


def test_a_run_on_bad_data_leaves_no_study_and_no_folder(capsys: Output, tmp_path: Path) -> None:
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    words = [f"data.root={tmp_path / 'photos'}", f"tracking.root={tmp_path / 'root'}"]
    words += ["data=folder", "engine=inline", "space.weights=none", "engine.shared_mb=0"]
    fails(capsys, 1, "run", *words, f"tracking.device_db={tmp_path / 'latency.db'}")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(28, "No space left on device", "report.html"),
            "The disk is full: No space left on device: report.html. Free space, or raise the q",
        ),
        (
            RuntimeError("PytorchStreamWriter failed writing file: file write failed"),
            "The disk is full: PytorchStreamWriter failed writing file: file write failed. Free",
        ),
        (MemoryError(), "The system has no memory, thread or process left: MemoryError. End oth"),
        (PermissionError(13, "Permission denied", "/x"), "Permission denied: /x"),
    ],
)
def test_what_the_machine_lacks_is_told_without_a_traceback(
    capsys: Output, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def call(arguments: object) -> int:
        raise error

    monkeypatch.setattr("archfront.search.commands.list.call", call)
    assert fails(capsys, 1, "list").startswith(said)


def test_a_mistake_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def call(arguments: object) -> int:
        raise ValueError("a mistake")

    monkeypatch.setattr("archfront.search.commands.list.call", call)
    with pytest.raises(ValueError, match="a mistake"):
        main(["list"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("advise", "--minutes", "-3", "--html", "no/x.html"), ("--minutes: ", "--html: ")),
        (("profile", "--html", "no/x.html"), ("--html: ",)),
        (("latency", "measure", "--limit", "0", "--seed", "-1"), ("--limit: ", "--seed: ")),
        (("run", "--detach", "--json"), ("--detach: ", "--json: ")),
    ],
)
def test_what_is_wrong_with_flags_and_words_is_told_together(
    words: tuple[str, ...], told: tuple[str, ...], capsys: Output
) -> None:
    first, *lines = fails(capsys, 2, *words, "data.rot=x", "data=shapes").splitlines()
    assert first == f"{len(told) + 1} problems in the configuration:"
    starts = [line.strip().partition(" ")[2] for line in lines]
    for start, text in zip((*told, "data.rot: no such option"), starts, strict=True):
        assert text.startswith(start)


def test_what_a_study_on_a_server_lacks_is_told_together(capsys: Output) -> None:
    said = fails(capsys, 2, "run", "--server", "ftp://host", "--dry-run", "roses")
    assert [line.strip().split(" ")[1] for line in said.splitlines()[1:]] == [
        "--dry-run:", "--server", "'roses':", "study:",
    ]  # fmt: skip
