"""Templates of pages, with the words and numbers that they have in common."""

from __future__ import annotations

import math
import time
from functools import cache
from pathlib import Path

import jinja2

from archfront.search.records.objectives import MEASURED
from archfront.search.report.plot_data import NAMES
from archfront.trainers.safe_text import visible_value
from archfront.trainers.words import count_of, duration, task_words


@cache
def page_template(name: str) -> jinja2.Template:
    """Return a template of this folder, which takes a third of a second to compile."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=visible_value,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count_of=count_of,
        duration=duration,
        day=_day,
        short=_short,
        percent=_percent,
        unit=unit,
        axis_name=axis_name,
        task_words=task_words,
    )
    return environment.get_template(name)


def unit(name: str) -> str:
    """Return the unit of a measured value; empty where it has none."""
    return MEASURED[name].unit if name in MEASURED else ""


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _short(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3g}"  # an imported latency may lack some


def _percent(share: float) -> str:
    return f"{share:.0%}"


def axis_name(name: str) -> str:
    """Return a name of a value as people write it."""
    return NAMES.get(name, name.replace("_", " "))
