"""YAML of somebody else, read without what a few lines of it can stand for."""

from __future__ import annotations

from typing import Any

import yaml

# A list of 20,000 class names has half of it. pyyaml reads some 100 kB a second.
YAML_MB = 1.0
# Of a file with its aliases written out, in which nine lines can stand for a billion.
MAX_VALUES = 100_000


def parse_yaml(text: str, loader: Any = yaml.SafeLoader) -> Any:
    """Return the content of a YAML document; None of an empty one.

    Args:
        text: The document.
        loader: ``yaml.SafeLoader``, or ``yaml.BaseLoader`` for values as text.

    Raises:
        yaml.YAMLError: If it does not parse, is too large or nested too deep, or its aliases lead
            to themselves or stand for too many values.
    """
    if len(text) > YAML_MB * 1e6:
        raise yaml.YAMLError(
            f"it has {len(text) / 1e6:.1f} million characters; {YAML_MB:g} million are read"
        )
    parser = loader(text)
    try:
        node = parser.get_single_node()
        if node is None:
            return None
        if (n_values := _n_values(node, {})) > MAX_VALUES:
            raise yaml.YAMLError(
                f"its aliases stand for more than {MAX_VALUES:,} values"
                if n_values > len(text)
                else f"it has {n_values:,} values; {MAX_VALUES:,} are read"
            )
        return parser.construct_document(node)
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deep") from error
    except (ValueError, OverflowError) as error:  # a date or a number that cannot be
        raise yaml.YAMLError(" ".join(str(error).split())) from error
    finally:
        parser.dispose()


def _n_values(node: yaml.Node, known: dict[int, int | None]) -> int:
    """Return how many values a node stands for when every alias in it is written out.

    Args:
        node: The node.
        known: The same of the nodes that were seen, by their identity; None while it is counted.
    """
    if id(node) in known:
        n_values = known[id(node)]
        if n_values is None:
            raise yaml.YAMLError("one of its aliases leads to itself")
        return n_values
    known[id(node)] = None
    children: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        children = node.value
    elif isinstance(node, yaml.MappingNode):
        children = [part for pair in node.value for part in pair]
    n_values = 1 + sum(_n_values(child, known) for child in children)
    known[id(node)] = n_values
    return n_values
