"""Composition: a user's own files, and words that Hydra's grammar refuses."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hydra
import pytest

from archfront.search.config.compose import choices, compose, conf_dir
from archfront.search.errors import ConfigError
from tests.support.composed import built, own, refused

pytestmark = pytest.mark.usefixtures("elsewhere")

# Names that Hydra's grammar, a URL or a glob could take for something else.
FOLDERS = [
    "with space",
    "a,b",
    "a=b",
    "(a)",
    "it's",
    'a"b',
    "100%20",
    "back\\slash",
    "back\\'quoted'",
    "end\\",
    "${home}",
    "[a]*?",
    "a;b&c#d:e",
    "blüten",
]


@pytest.mark.parametrize("word", ["L", "L=1", "task=L", "study.L=1", "study.a=L"])
def test_long_words_are_cut_in_messages(word: str) -> None:
    with pytest.raises(ConfigError, match=r"x…x") as caught:
        built(compose([word.replace("L", "x" * 100_000), "data=digits"]))
    assert "x" * 201 not in str(caught.value)


def test_of_two_words_for_one_thing_the_last_wins() -> None:
    config = built(compose(["seed=1", "data=folder", "seed=2", "data=digits", "seed=3"]))
    assert (config.seed, config.data.reader) == (3, "digits")


def test_a_word_wins_over_an_experiment_wherever_it_stands() -> None:
    for words in (["space=small", "experiment=digits"], ["experiment=digits", "space=small"]):
        config = built(compose([*words, "budget.trials=5"]))
        assert "resnet18" in config.space.backbones
        assert (config.budget.trials, config.data.reader) == (5, "digits")


def test_the_name_of_a_study_follows_task_and_data() -> None:
    assert built(compose(["data=digits"])).study == "classification-digits"
    assert built(compose(["data.root=x"])).study == "classification-folder"


@pytest.mark.parametrize(
    "text",
    [
        "a b,c=d(e){f}[g]'h\"i",
        "${task.name}/x",
        "$\\{x}",
        "a\\${b}",
        "a\\\\${b}\\",
        "${",
        "???",
        "*x",
        "&x: 1",
        "%s %d",
        "# x",
        "null,",
        "'~'",
    ],
)
def test_a_value_reaches_the_configuration_letter_for_letter(text: str) -> None:
    composed = compose(["data=digits", f"tracking.experiment={text}", f"data.root=/{text}"])
    config = built(composed)
    assert config.tracking.experiment == text
    assert config.data.root == f"/{text}"


def test_a_value_reaches_those_that_refer_to_it() -> None:
    assert compose(["task.name=${x}"]).content["study"] == "${x}-folder"


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_ones_own_may_have_any_name(tmp_path: Path, name: str) -> None:
    folder = own(tmp_path / name, "defaults: [digits]\ntrain: 500\n")
    config = built(compose(["data=mine"], config_dirs=[folder]))
    assert (config.data.train, config.data.reader) == (500, "digits")


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLDERS)
def test_the_package_may_lie_in_a_folder_of_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / name / "conf"
    shutil.copytree(conf_dir(), folder)
    monkeypatch.setattr("archfront.search.config.compose.conf_dir", lambda: folder)
    assert built(compose(["experiment=digits"])).study == "digits"


def test_several_folders_of_ones_own_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    own(tmp_path / "one", "defaults: [digits]\ntrain: 500\n")
    own(tmp_path / "here" / "two", "defaults: [tpe]\nstartup: 3\n", "sampler")
    folders = [Path("~/one"), Path("two")]
    config = built(compose(["data=mine", "sampler=mine"], config_dirs=folders))
    assert (config.data.train, config.sampler.startup) == (500, 3)


def test_an_experiment_of_ones_own_chooses_groups_of_ones_own(tmp_path: Path) -> None:
    own(tmp_path, "defaults: [digits]\ntrain: 500\n")
    text = "# @package _global_\ndefaults:\n  - override /data: mine\nstudy: best\n"
    own(tmp_path, text, "experiment", "best")
    config = built(compose(["experiment=best"], config_dirs=[tmp_path]))
    assert (config.study, config.data.train) == ("best", 500)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    assert refused("data=digits", config_dirs=(gone,)) == (
        f"--config-dir: there is no folder {gone}.",
    )


def test_a_file_with_a_shipped_name_is_refused(tmp_path: Path) -> None:
    """The shipped file was taken, and nothing said that one's own was not."""
    folder = own(tmp_path / "a", "reader: folder\n", name="digits")
    assert refused("data=digits", config_dirs=(folder,)) == (
        f"--config-dir: {folder}/data/digits.yaml has the name of a file in {conf_dir()}, so that "
        "data=digits could mean both. Give it another name.",
    )


def test_a_name_in_two_folders_is_refused(tmp_path: Path) -> None:
    one, two = own(tmp_path / "one", "reader: folder\n"), own(tmp_path / "two", "reader: folder\n")
    (problem,) = refused("data=mine", config_dirs=(one, two))
    assert problem.startswith(
        f"--config-dir: {two}/data/mine.yaml has the name of a file in {one}"
    )


MALFORMED = {
    "reader: [": ", line 1, column 10: expected the node content, but found '<stream end>'.",
    "a: 1\n\tb: 2": ", line 2, column 1: found character '\\t' that cannot start any token.",
    "- a": " has no options, as 'name: value'; got ['a'].",
    "": " has no options, as 'name: value'; got None.",
    b"\xff\xfe": " cannot be read: 'utf-8' codec can't decode byte 0xff in position 0: invalid "
    "start byte.",
}


@pytest.mark.slow
@pytest.mark.parametrize("text", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_file_is_named_with_its_line(tmp_path: Path, text: str | bytes) -> None:
    own(tmp_path, text)
    message = f"data=mine: {tmp_path}/data/mine.yaml{MALFORMED[text]}"
    assert refused("data=mine", config_dirs=(tmp_path,)) == (message,)
    assert built(compose(["data=digits"], config_dirs=[tmp_path])), "it is not chosen, so unread"


@pytest.mark.parametrize(
    ("text", "start"),
    [
        (
            "defaults: [gone]\n",
            "The yaml files do not compose: In 'data/mine': Could not load 'data/gone'.",
        ),
        ("defaults: [digits]\nroot: !!set {a}", "The yaml files do not compose: Value 'set' is"),
        ("defaults: [mine]\nx: 1", "The yaml files do not compose: a defaults list leads to"),
        ("# @package a b\nx: 1", "The yaml files do not compose: Too many components"),
        ("x: ${nope}", "data.x: the yaml files do not compose: Interpolation key 'nope' not"),
        ("x: ${data.x}", "data.x: the yaml files do not compose: Recursive interpolation"),
        ("reader: a\nroot: ???", "data.root: the yaml files do not compose: Missing mandatory"),
    ],
)
def test_a_file_that_does_not_compose_gives_one_clear_error(
    tmp_path: Path, text: str, start: str
) -> None:
    own(tmp_path, text)
    (problem,) = refused("data=mine", config_dirs=(tmp_path,))
    assert problem.startswith(start)
    assert "\n" not in problem
    assert "search path" not in problem


def test_all_words_that_cannot_be_used_are_named_at_once() -> None:
    assert refused("data=digit", "budgets", "+x=1", "a[0]=1", "a..b=1", "=1") == (
        "data=digit: there is no such choice. Did you mean data=digits? Known: "
        f"{', '.join([*choices('data'), 'auto'])}.",
        *(
            f"{word!r}: an override has the form group=name or group.option=value; groups: task, "
            "data, hardware, space, sampler, budget, engine, tracking, experiment."
            for word in ("budgets", "+x=1", "a[0]=1", "a..b=1", "=1")
        ),
    )


def test_the_shortest_name_that_begins_with_the_word_is_meant() -> None:
    (problem,) = refused("hardware=cpu_onnx")
    assert "Did you mean hardware=cpu_onnxruntime?" in problem


def test_a_name_without_a_near_one_gets_the_list() -> None:
    assert refused("engine=zzz") == (
        "engine=zzz: there is no such choice. Known: inline, processes, ray, submitit.",
    )


def test_an_unknown_group_is_an_unknown_option() -> None:
    composed = compose(
        ["data=digits", "datas=digits", "limits.size_mb=3", "budget.trails=3", "x.y=1"]
    )
    with pytest.raises(ConfigError, match=r"\S") as caught:
        built(composed)
    hints = [problem.split(" Known")[0] for problem in caught.value.problems]
    assert hints == [
        "datas: no such option. Did you mean data?",
        "limits: no such option. Did you mean hardware.limits?",
        "x: no such option.",
        "budget.trails: no such option. Did you mean budget.trials?",
    ]


def test_the_environment_says_where_things_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    tracking = built(compose(["data=digits"])).tracking
    assert tracking.root == str(tmp_path / "here" / "mlruns")
    assert tracking.device_db == str(Path("~/.cache/archfront/latency.db").expanduser())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "my cache"))
    tracking = built(compose(["data=digits"])).tracking
    assert tracking.device_db == str(tmp_path / "my cache" / "archfront" / "latency.db")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ARCHFRONT_ROOT", "~/my studies, ${x}")
    monkeypatch.setenv("ARCHFRONT_DEVICE_DB", "db")
    tracking = built(compose(["data=digits"])).tracking
    assert tracking.root == str(tmp_path / "my studies, ${x}")
    assert tracking.device_db == str(tmp_path / "here" / "db")
    assert built(compose(["data=digits", "tracking.root=/x"])).tracking.root == "/x"


def test_a_program_that_uses_hydra_itself_may_compose() -> None:
    """Hydra was said to be initialized already."""
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        assert built(compose(["experiment=digits"])).study == "digits"
        assert hydra.compose("config", ["seed=5"]).seed == 5, "the caller's own goes on"


@pytest.mark.slow
def test_threads_may_compose_at_the_same_time() -> None:
    def seed(number: int) -> int:
        return built(compose(["data=digits", f"seed={number}"])).seed

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(seed, range(8))) == list(range(8))


def test_composing_leaves_nothing_in_the_working_folder(tmp_path: Path) -> None:
    own(tmp_path / "own", "defaults: [digits]\n")
    built(compose(["experiment=digits", "data=mine"], config_dirs=[tmp_path / "own"]))
    assert list((tmp_path / "here").iterdir()) == []
