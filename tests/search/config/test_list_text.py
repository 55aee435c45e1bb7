"""Lists on the command line: names with blanks, commas, quotes, brackets and any letters."""

from __future__ import annotations

from pathlib import Path

import pytest

from archfront.search.config.build import build
from archfront.search.config.compose import compose
from archfront.search.config.list_text import quoted, values_in
from archfront.search.config.value_words import words_of
from archfront.search.errors import ConfigError

NAMES = [
    "red car",
    "a, b",
    "it's",
    'a "b"',
    "[x]",
    "Käfer",
    "日本",
    "back\\slash",
    " edge ",
    "a\\'b",
]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("[red car, blue]", ["red car", "blue"]),
        ("red car,blue", ["red car", "blue"]),
        ("['red, old', blue]", ["red, old", "blue"]),
        ('["red, old","it\'s"]', ["red, old", "it's"]),
        (r"['it\'s', a\b]", ["it's", r"a\b"]),
        ("[it's, b]", ["it's", "b"]),
        ("['[a]', ']', b]", ["[a]", "]", "b"]),
        ("[rv]es*,x", ["[rv]es*", "x"]),
        ("['C:\\x', '']", ["C:\\x", ""]),
        ("[Käfer, Größe]", ["Käfer", "Größe"]),
        (" [ a , ,b ] ", ["a", "b"]),
        ("[]", []),
    ],
)
def test_values_are_parted_at_commas_outside_of_quotes(text: str, values: list[str]) -> None:
    assert values_in(text) == values


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[a, b", "a bracket is not closed"),
        ("['a, b]", "the quote in 'a is not closed"),
        ("['a' b, c]", "the quote in 'a' b is not closed"),
        ('["]', 'the quote in " is not closed'),
    ],
)
def test_what_is_not_closed_is_named(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace("[", r"\[")):
        values_in(text)


def test_every_name_comes_back_from_its_quoted_form() -> None:
    assert values_in(f"[{','.join(map(quoted, NAMES))}]") == NAMES
    assert quoted("red car") == "red car"


def classes_of(*words: str) -> tuple[str, ...] | None:
    composed = compose(["task=semantic", "data=masks", "data.root=a", *words])
    return build(composed.content, texts=composed.texts).data.classes


def test_the_command_and_python_take_any_name(tmp_path: Path) -> None:
    assert classes_of("data.classes=['red, old', Käfer]") == ("red, old", "Käfer")
    plain = [name for name in NAMES if name.strip()]
    assert classes_of(*words_of([{"data.classes": plain}])) == tuple(plain)


def test_a_palette_takes_names_with_blanks() -> None:
    words = ["task=semantic", "data=masks", "data.root=a"]
    for given in (
        ["data.palette.red car=7", "data.palette.no=[1]"],
        ["data.palette={red car: 7, no: [1]}"],
        words_of([{"data": {"palette": {"red car": 7, "no": [1]}}}]),
    ):
        composed = compose([*words, *given])
        config = build(composed.content, texts=composed.texts)
        assert config.data.palette == {"red car": (7,), "no": (1,)}


def test_the_error_says_how_to_quote() -> None:
    with pytest.raises(ConfigError) as caught:
        classes_of("data.classes=['red, blue]")
    assert caught.value.problems == (
        "data.classes: a list as [a, b] is needed, and the quote in 'red is not closed; got "
        '"[\'red, blue]". Give a name with commas, brackets or quotes in quotes of its own, as '
        "['red, old', \"it's\"], and the whole word in quotes for the shell.",
    )
    with pytest.raises(ConfigError, match=r"names with values as \{a: 1"):
        classes_of("data.palette={a: [1")


def test_a_value_that_the_shell_has_split_is_one_problem_with_its_quoted_form() -> None:
    with pytest.raises(ConfigError) as caught:
        compose(["data.classes=[red", "car,", "blue]", "seed=1"])
    assert caught.value.problems == (
        "'car, blue]': a word has the form group=name or group.option=value. If this belongs to "
        "the value before it, quote both for the shell: 'data.classes=[red car, blue]'.",
    )
