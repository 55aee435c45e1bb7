"""A composed configuration is read from its file again."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from archfront.search.config.compose import compose, load
from archfront.search.errors import ConfigError
from tests.support.composed import built, refused

pytestmark = pytest.mark.usefixtures("elsewhere")


BELOW_A_VALUE = {
    "study.x=3": "study.x=3: study is one value, with no options below it.",
    "task.name.x.y=3": "task.name.x.y=3: task.name is one value, with no options below it.",
}


@pytest.mark.parametrize("word", BELOW_A_VALUE)
def test_a_value_has_no_options_below_it(tmp_path: Path, word: str) -> None:
    """Setting one below a value of a file ended in an AttributeError."""
    assert refused("data=digits", word) == (BELOW_A_VALUE[word],)
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(compose(["data=digits"]).content))
    with pytest.raises(ConfigError, match=r"\S") as caught:
        load(path, [word])
    assert caught.value.problems == (BELOW_A_VALUE[word],)


def test_a_composed_configuration_is_read_from_its_file_again(tmp_path: Path) -> None:
    words = ["experiment=digits", "tracking.experiment=${x}", "space.recipe.lr=1e-3,2e-3"]
    config = built(compose(words))
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(config.as_dict()), encoding="utf-8")
    assert built(load(path, [])) == config
    again = built(load(path, ["study=x", "study=digits-again", "space.recipe.lr=1e-2"]))
    assert (again.study, again.space.recipe.lr) == ("digits-again", (0.01,))


def test_the_configuration_of_a_study_follows_its_moved_root(tmp_path: Path) -> None:
    """A study that went on by its own configuration wrote to where its root had been."""
    words = ["experiment=digits", "study=flowers", f"tracking.root={tmp_path / 'old'}"]
    config = built(compose(words)).as_dict()
    config["tracking"]["device_db"] = str(tmp_path / "old" / "latency.db")
    root = tmp_path / "new"
    beside, elsewhere = root / "studies" / "flowers", root / "copies" / "flowers"
    for folder in (beside, elsewhere):
        folder.mkdir(parents=True)
        (folder / "study.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    moved = built(load(beside / "study.yaml", ["budget.trials=3"]))
    assert (moved.tracking.root, moved.tracking.device_db) == (str(root), str(root / "latency.db"))
    assert built(load(elsewhere / "study.yaml", [])).tracking.root == str(tmp_path / "old")
    asked = load(beside / "study.yaml", [f"tracking.root={tmp_path}"])
    assert built(asked).tracking.root == str(tmp_path)


def test_a_composed_configuration_takes_no_groups(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(compose(["data=digits"]).content))
    with pytest.raises(ConfigError, match=r"\S") as caught:
        load(path, ["sampler=gp", "seed"])
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["'seed'", "sampler=gp"]
    assert "Change a value with sampler.option=value." in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read: No such file or directory."),
        ("a: [", ", line 1, column 5: expected the node content, but found '<stream end>'."),
        ("- 1", " has no options, as 'name: value'; got [1]."),
        ("", " has no options, as 'name: value'; got None."),
    ],
)
def test_a_file_that_is_no_configuration_is_named(
    tmp_path: Path, text: str | None, message: str
) -> None:
    path = tmp_path / "study.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=r"\S") as caught:
        load(path, [])
    assert str(caught.value).startswith(f"--config: {path}")
    assert message in str(caught.value)
