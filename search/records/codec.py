"""The codec of all records: frozen dataclasses to plain JSON content, and back by pydantic.

Content is read by the types of the fields: lists become tuples, mappings become the dataclass that
they fit. Content with fewer or more keys than the record, or of another type, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from archfront.trainers.spec import Architecture, Recipe

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Record = TypeVar("Record")
# Key in the metadata of a field that is not stored where it is None, as before it existed.
LEFT_OUT = "left out"


def encode(record: Any) -> Any:
    """Return a record as plain content; ``decode`` gives the equal record back, after JSON too.

    Architectures and recipes leave out what says nothing of them, as their ``as_dict`` does, and
    so does every record of its fields with ``LEFT_OUT``.
    """
    if isinstance(record, Architecture | Recipe):
        return record.as_dict()
    if is_dataclass(record) and not isinstance(record, type):
        values = {item: getattr(record, item.name) for item in fields(record)}
        return {
            item.name: encode(value)
            for item, value in values.items()
            if value is not None or LEFT_OUT not in item.metadata
        }
    if isinstance(record, Mapping):
        return {key: encode(value) for key, value in record.items()}
    if isinstance(record, list | tuple):
        return [encode(value) for value in record]
    return record


def decode(kind: type[Record], content: Any) -> Record:
    """Return the record of a kind whose ``encode`` some content is.

    Raises:
        ValueError: If the content does not fit, with the first key that does not.
    """
    from pydantic import ValidationError

    try:
        record: Record = _adapter(cast(Any, kind)).validate_python([content])[0]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(key) for key in first["loc"][1:]) or kind.__name__
        raise ValueError(f"{where}: {first['msg']}") from error
    return record


def restored(kind: Any, content: Any) -> Any:
    """Return the record of a kind from content that ``encode`` wrote and nobody else changes.

    ``decode`` checks content; this one is for a cache that is read in the time in which pydantic
    is imported. Values are taken as they are, so content that fits only nearly may pass.

    Raises:
        TypeError: If a record has other fields.
    """
    if content is None:
        return None
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        if not isinstance(content, dict) or content.keys() - hints.keys():
            raise TypeError(f"{kind} has the fields {', '.join(hints)}; got {content!r:.80}")
        return cast(Any, kind)(
            **{key: restored(hints[key], value) for key, value in content.items()}
        )
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return restored(next(part for part in arguments if part is not type(None)), content)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return tuple(map(restored, arguments, content))
    if origin is tuple:
        return tuple(restored(arguments[0], value) for value in content)
    if origin in (dict, Mapping):
        return {key: restored(arguments[1], value) for key, value in content.items()}
    return content


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Return what validates a list of one record."""
    from pydantic import ConfigDict, TypeAdapter

    # pydantic takes no configuration beside a dataclass itself, but beside a list of them.
    return TypeAdapter(list[kind], config=ConfigDict(extra="forbid"))
