"""The texts that lie beside an exported model, rendered from the templates in ``templates/``.

A template escapes each value for the place where it stands: ``literal`` and ``docstring`` in
Python, ``markdown`` and ``code`` in Markdown. Jinja never reads a value as a template.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from archfront.trainers.words import count_of, task_words

TEMPLATES = Path(__file__).with_name("templates")

# What begins a construct of CommonMark or of GitHub's tables within a line. An underscore between
# letters or digits and a bracket that no parenthesis follows begin none.
MARKUP = re.compile(r"[\\`*<~|]|(?<![^\W_])_|_(?![^\W_])|\](?=\()|&(?=#?\w+;)")
# What at the start of a line begins a heading, a list, a quotation or an underline.
LINE_START = re.compile(r"^(\d+(?=[.)](?:\s|$))|(?=[#+=>-]))")
LINE_BREAKS = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")


def render(template: str, **values: Any) -> str:
    """Return a template filled with values.

    Args:
        template: Path relative to ``templates/``.
        **values: What the template names.

    Raises:
        jinja2.TemplateNotFound: If there is no such template, or none that it includes.
        jinja2.UndefinedError: If the template names a value that is not given.
    """
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,  # nothing here is HTML
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        code=code,
        count_of=count_of,
        docstring=docstring,
        literal=literal,
        markdown=markdown,
        numbers=numbers,
        program_name=program_name,
        task_words=task_words,
    )
    return environment


def literal(value: str) -> str:
    """Return the Python literal of a string, in double quotes where it contains none."""
    text = repr(value)
    return text if '"' in value else f'"{text[1:-1]}"'


def docstring(value: str) -> str:
    """Return a string as it is written within a docstring in double quotes."""
    return repr(value)[1:-1].replace('"', '\\"')


def markdown(value: str) -> str:
    """Return a string as one line of Markdown that shows it as plain text."""
    return LINE_START.sub(r"\1\\", MARKUP.sub(r"\\\g<0>", _one_line(value)))


def code(value: str) -> str:
    """Return a string as a code span of Markdown.

    The fence is longer than every run of backticks in the string. Source: CommonMark 0.31.2, 6.1.
    """
    text = _one_line(value)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def numbers(values: Sequence[float]) -> str:
    """Return numbers with four significant digits, separated by commas."""
    return ", ".join(f"{value:.4g}" for value in values)


def program_name(format_name: str) -> str:
    """Return the file name of the program that predicts with a format."""
    return f"predict_{format_name.replace('-', '_')}.py"


def _one_line(value: str) -> str:
    return LINE_BREAKS.sub(" ", value.strip())
