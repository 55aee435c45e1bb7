from __future__ import annotations

from pathlib import Path

import pytest

from archfront.search.config.compose import compose, load
from archfront.search.config.yaml_names import misread_names
from archfront.search.errors import ConfigError

VALUES = (
    "no",
    "Yes",
    "on",
    "OFF",
    "true",
    "null",
    "~",
    "012",
    "1_000",
    "0x1F",
    "1e3",
    "1.50",
    ".nan",
)
NAMES = (
    "cat",
    "no entry",
    "7",
    "-3",
    "0",
    "2.5",
    "2024-01-01",
    "a1e3",
    "1.2.3",
    "Infinity",
    "NaN",
)


@pytest.mark.parametrize("name", VALUES)
def test_what_yaml_takes_for_a_value_is_found_unless_in_quotes(name: str) -> None:
    assert misread_names(f"classes: [cat, {name}]") == [name]
    assert misread_names(f"data: {{palette: {{cat: 0, {name}: 1}}}}") == [name]
    assert misread_names(f"classes: [cat, '{name}']") == []
    assert misread_names(f'palette: {{cat: 0, "{name}": 1}}') == []


@pytest.mark.parametrize("name", NAMES)
def test_what_stays_as_it_stands_is_a_name(name: str) -> None:
    assert misread_names(f"classes: [{name}, dog]") == []


@pytest.mark.parametrize(
    "text", ["", "classes: null", "palette: {}", "[no]", "seed: no", "data: x"]
)
def test_files_without_names_have_none(text: str) -> None:
    assert misread_names(text) == []


def test_a_file_of_data_with_such_names_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "data" / "mine.yaml"
    file.parent.mkdir()
    file.write_text("defaults: [masks, _self_]\nclasses: [no, yes]\n")
    words = "has names of classes that YAML reads as other values: no, yes. Put them between"
    with pytest.raises(ConfigError, match=f"data=mine: {file} {words} quotes, as 'no'"):
        compose(["data=mine"], config_dirs=[tmp_path])
    file.write_text("defaults: [masks, _self_]\nclasses: ['no', \"yes\"]\n")
    composed = compose(["data=mine"], config_dirs=[tmp_path])
    assert composed.content["data"]["classes"] == ["no", "yes"]


def test_so_is_a_whole_configuration(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text("data:\n  palette:\n    off: 0\n    road: 7\n")
    with pytest.raises(ConfigError, match="reads as other values: off"):
        load(file, [])
