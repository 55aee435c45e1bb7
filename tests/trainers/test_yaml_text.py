"""YAML whose few lines stand for much, and YAML that is merely long or wrong."""

from __future__ import annotations

import pytest
import yaml

from archfront.trainers import yaml_text
from archfront.trainers.yaml_text import parse_yaml


def bomb(levels: int) -> str:
    """Return a document whose aliases stand for 9 to the power of the levels."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.BaseLoader])
class TestParsing:
    def test_plain_content_is_that_of_the_library(self, loader: type) -> None:
        text = "base: &base {a: 1, b: [x, 2.5]}\nmore: {<<: *base, c: null}\nagain: *base\n"
        assert parse_yaml(text, loader) == yaml.load(text, loader)
        assert parse_yaml("", loader) is None

    @pytest.mark.parametrize("levels", [6, 12, 100])
    def test_aliases_are_counted_before_they_are_written_out(
        self, loader: type, levels: int
    ) -> None:
        with pytest.raises(yaml.YAMLError, match=r"^its aliases stand for more than 100,000 val"):
            parse_yaml(bomb(levels), loader)

    def test_a_few_aliases_are_no_bomb(self, loader: type) -> None:
        assert len(parse_yaml(bomb(3), loader)["a2"][0]) == 9

    def test_so_is_a_long_document(self, loader: type) -> None:
        names = [f"n{number}" for number in range(2000)]
        assert parse_yaml("\n".join(f"- {name}" for name in names), loader) == names

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("a: &a [*a]", r"^one of its aliases leads to itself$"),
            ("[" * 2000, r"^it is nested too deep$"),
            ("x" * 1_000_001, r"^it has 1\.0 million characters; 1 million are read$"),
            ("a: *b", r"found undefined alias 'b'"),
        ],
    )
    def test_other_documents_get_an_error(self, loader: type, text: str, reason: str) -> None:
        with pytest.raises(yaml.YAMLError, match=reason):
            parse_yaml(text, loader)


def test_no_object_is_made() -> None:
    with pytest.raises(yaml.YAMLError, match="could not determine a constructor for the tag"):
        parse_yaml("a: !!python/object/apply:os.system [ls]")


@pytest.mark.parametrize("text", ["a: 2026-13-45", "a: " + "9" * 5000])
def test_a_value_that_cannot_be_gets_an_error_of_yaml(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match=r"month must be in|Exceeds the limit"):
        parse_yaml(text)


def test_too_many_values_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_text, "MAX_VALUES", 10)
    assert parse_yaml("[" + "1," * 9 + "]") == [1] * 9
    with pytest.raises(yaml.YAMLError, match=r"^it has 11 values; 10 are read$"):
        parse_yaml("[" + "1," * 10 + "]")
