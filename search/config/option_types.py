"""The types of options, and how a configuration file's or a command line's values are read.

pydantic converts and bounds the values. The validators here add what it does not know: numbers
that YAML takes for text, and the text of a command line, which its option's type reads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from archfront.search.config.list_text import values_in
from archfront.trainers.files import plain_path

T = TypeVar("T")

# The value of an option that the data decides.
AUTO: Literal["auto"] = "auto"
# The value of a rule that is left out.
OFF: Literal["off"] = "off"
# What to do where quotes or brackets are wrong.
QUOTING = (
    " Give a name with commas, brackets or quotes in quotes of its own, as ['red, old', "
    '"it\'s"], and the whole word in quotes for the shell.'
)
# Letters of a text, as the system takes them of a path, and bytes of a name in one.
MOST_LETTERS, MOST_BYTES = 4096, 255
# The kind of the errors raised here: their message is complete, pydantic's are put in our words.
WORDED = "worded"
# GPUs of a training, and trainings of a GPU; check.py has the words. A third is written 0.33.
_MOST_GPUS, _MOST_SHARING, _NEAR = 64, 16, 0.011


class CommandText(str):
    """The text that a command line gives for an option."""


def option(meaning: str) -> Any:
    """Return the dataclass field of an option, whose default stands in the yaml files."""
    return field(metadata={"description": meaning})


def _refusal(needed: str, advice: str = "") -> PydanticCustomError:
    """Return the error that says what is needed and, behind the value, what to do."""
    return PydanticCustomError(WORDED, "{needed}", {"needed": needed, "advice": advice})


def _number(value: Any) -> Any:
    """Return a number as it is, and the number that a text means: YAML reads 1e-3 as text."""
    if isinstance(value, bool):
        raise ValueError  # pydantic takes true for 1
    if isinstance(value, str):
        try:
            return int(value)  # exact, however large
        except ValueError:
            value = float(value)
    # 1e30 is whole too, but above what pydantic takes for it.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _flag(value: Any) -> Any:
    """Return the truth value that a command line's text means."""
    if isinstance(value, CommandText):
        return {"true": True, "false": False}.get(value.lower(), value)
    return value


def _switch(value: Any) -> Any:
    """Return ``auto`` or ``off`` for what YAML and a command line have for on and off."""
    words = {True: AUTO, False: OFF, "on": AUTO, "true": AUTO, "false": OFF, OFF: OFF}
    return words.get(value, value) if isinstance(value, bool | str) else value


def _null(value: Any) -> Any:
    """Return None for the texts of a command line that mean it."""
    return None if isinstance(value, CommandText) and value in ("null", "") else value


def _whole(value: Any) -> Any:
    """Return None for the word that says that nothing is cut."""
    return None if value == "none" else value


def _mapping(value: Any) -> Any:
    """Return a mapping for None, and for the texts of a command line that mean one."""
    if value is None or (isinstance(value, CommandText) and value in ("null", "")):
        return {}
    if isinstance(value, CommandText) and value.startswith("{"):
        try:
            return yaml.load(value, yaml.BaseLoader)  # every word stays text: no is no
        except yaml.YAMLError:
            raise _refusal("names with values as {a: 1, 'b: c': 2} are needed", QUOTING) from None
    return value


def _items(value: Any) -> list[Any]:
    """Return the items of a list; text is a YAML list or values between commas."""
    if not isinstance(value, CommandText):
        return list(value) if isinstance(value, list | tuple) else [value]
    try:
        return [CommandText(part) for part in values_in(value)]
    except ValueError as error:
        raise _refusal(f"a list as [a, b] is needed, and {error}", QUOTING) from None


def _channels(value: Any) -> list[Any]:
    """Return the numbers of a color; in a file, too, text is values between commas."""
    return _items(CommandText(value) if isinstance(value, str) else value)


def _once(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) < len(values):
        raise _refusal("every value may stand once")
    return values


def _rising(values: tuple[int, ...]) -> tuple[int, ...]:
    if len(values) != 2 or values[0] >= values[1]:
        raise _refusal("two whole numbers are needed, the smaller one first, as [0, 4095]")
    return values


def _at_most(most: int) -> Callable[[str], str]:
    """Return what lets texts of at most so many letters pass."""

    def checked(text: str) -> str:
        if len(text) > most:
            needed = f"at most {most:,} letters are taken, not {len(text):,}"
            raise _refusal(needed, " Give fewer.")
        return text

    return checked


def _with_short_names(path: str) -> str:
    longest = max((len(os.fsencode(part)) for part in Path(path).parts), default=0)
    if longest > MOST_BYTES:
        needed = f"the name of a file or a folder has at most {MOST_BYTES} bytes, not {longest:,}"
        raise _refusal(needed, " Check the path.")
    return path


def _absolute(path: str) -> str:
    try:
        return str(plain_path(Path(path).expanduser()))
    except RuntimeError:
        raise _refusal("a path is needed, and this user has no home folder") from None


def _whole_or_part(gpus: float) -> float:
    """Return a whole number of GPUs, or 1/n for a number near it: 0.33 is a third."""
    n = round(1 / gpus) if 0 < gpus < 1 else 0
    if 2 <= n <= _MOST_SHARING and abs(gpus * n - 1) < _NEAR:
        return 1 / n
    if not 0 <= gpus <= _MOST_GPUS or gpus != int(gpus):
        raise ValueError
    return int(gpus)


def _above_zero(limit: float) -> float:
    if limit == 0:
        raise _refusal("nothing costs 0", " Give a number above 0, or null for no limit.")
    return limit


@dataclass(frozen=True)
class OneOf:
    """Annotates text that is one of a table's names."""

    names: Iterable[str]

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        """Return the check against the names, as pydantic has it for ``Literal``."""
        return core_schema.literal_schema(list(self.names))


@dataclass(frozen=True)
class Bounds:
    """Annotates a number that is at least ``low`` and at most ``high``, where there is one."""

    low: float
    high: float | None = None

    def __get_pydantic_core_schema__(self, kind: Any, _: GetCoreSchemaHandler) -> CoreSchema:
        """Return the check of a whole or any number, after a text is read as one."""
        make: Any = core_schema.int_schema if kind is int else core_schema.float_schema
        number = make(ge=self.low, le=self.high)
        return core_schema.no_info_before_validator_function(_number, number)


@dataclass(frozen=True)
class OrAuto:
    """Annotates ``T | Literal["auto"]``: the value of an option, or ``auto``.

    pydantic's own union would answer a wrong value with the errors of both its parts.
    """

    def __get_pydantic_core_schema__(self, kind: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the check of the value, which lets ``auto`` pass."""
        value, _ = get_args(kind)
        return core_schema.no_info_wrap_validator_function(
            lambda given, check: AUTO if given == AUTO else check(given),
            handler.generate_schema(value),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the JSON schema of the value, marked."""
        return {**handler(schema), AUTO: True}


READ_NUMBER = BeforeValidator(_number)

Flag = Annotated[bool, Field(strict=True), BeforeValidator(_flag)]
Switch = Annotated[Literal["auto", "off"], BeforeValidator(_switch)]
Text = Annotated[str, Field(pattern=r"\S"), AfterValidator(_at_most(MOST_LETTERS))]
# MLflow takes no longer one.
ExperimentName = Annotated[Text, AfterValidator(_at_most(500))]
# A word, or the path of something.
WordOrPath = Annotated[Text, AfterValidator(_with_short_names)]
AbsolutePath = Annotated[
    WordOrPath, Field(json_schema_extra={"format": "path"}), AfterValidator(_absolute)
]
# A whole number stays one.
Gpus = Annotated[
    float,
    READ_NUMBER,
    Field(json_schema_extra={"format": "gpus"}),
    AfterValidator(_whole_or_part),
]
Limit = Annotated[float, Bounds(0), AfterValidator(_above_zero)]

Nullable = Annotated[T | None, BeforeValidator(_null)]
ValuesOrEmpty = Annotated[tuple[T, ...], BeforeValidator(_items), AfterValidator(_once)]
Values = Annotated[ValuesOrEmpty[T], Field(min_length=1)]
Automatic = Annotated[T | Literal["auto"], OrAuto()]
# Of a part that images are cut into, in pixels.
TileSide = Annotated[
    Nullable[Automatic[Annotated[int, Bounds(32, 8192)]]], BeforeValidator(_whole)
]
Named = Annotated[Mapping[str, T], BeforeValidator(_mapping)]
# The smallest and the largest value of what images with 16 bits a pixel use.
Range = Annotated[
    tuple[Annotated[int, Bounds(0, 65535)], ...],
    BeforeValidator(_items),
    Field(json_schema_extra={"maxItems": 2}),
    AfterValidator(_rising),
]
# The value of a class in masks, or its red, green and blue, which may be equal.
Color = Annotated[
    tuple[Annotated[int, Bounds(0, 255)], ...], BeforeValidator(_channels), Field(min_length=1)
]
