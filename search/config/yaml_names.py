"""Names of classes in a yaml file that YAML reads as other values: no is False, 012 is 10."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

WHOLE = re.compile(r"0|-?[1-9][0-9]*")
DIGIT = re.compile("[0-9]")
NUMBER = "tag:yaml.org,2002:int"
READ_AS_TEXT = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp")


def misread_names(text: str) -> list[str]:
    """Return the class names of a yaml file, of options or of data, that are read otherwise.

    Names in quotes are read as they stand, and so are whole numbers as 7.

    Args:
        text: What parses as YAML.
    """
    root = yaml.compose(text, yaml.SafeLoader)
    found = []
    for options in (root, _value(root, "data")):
        names = [*_items(_value(options, "classes")), *_keys(_value(options, "palette"))]
        found += [name.value for name in names if _is_misread(name)]
    return found


def _value(node: yaml.Node | None, name: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for key, value in pairs if key.value == name), None)


def _items(node: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.SequenceNode):
        yield from (item for item in node.value if isinstance(item, yaml.ScalarNode))


def _keys(node: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.MappingNode):
        yield from (key for key, _ in node.value if isinstance(key, yaml.ScalarNode))


def _is_misread(name: yaml.ScalarNode) -> bool:
    if name.style is not None:  # in quotes
        return False
    if name.tag == NUMBER:
        return WHOLE.fullmatch(name.value) is None
    if DIGIT.search(name.value):
        try:  # 1e3, which is text to YAML and a number to OmegaConf
            return f"{float(name.value)}" != str(name.value)
        except ValueError:
            pass
    return str(name.tag) not in READ_AS_TEXT
