"""Text of somebody else, such as the name of a file or a class, as a terminal may show it.

A terminal obeys what it is given: ESC begins commands that write to its title or clear it, CR
writes over a line, and controls of direction show letters in another order than they have.
"""

from __future__ import annotations

import re
from typing import Any

# Controls but for tab and line feed, separators of lines, controls of direction, and halves of
# characters. Source: Unicode 15.0, general categories Cc, Zl, Zp and Cs, property Bidi_Control.
UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
BREAKS = re.compile(r"[\t\n]")


def visible(text: str) -> str:
    """Return a text with what a terminal obeys written out in ASCII; lines stay lines."""
    return UNSAFE.sub(_escaped, text)


def visible_line(text: str) -> str:
    """Return the same as one line: tabs and line feeds are written out too."""
    return BREAKS.sub(_escaped, visible(text))


def visible_value(value: Any) -> Any:
    """Return a text as ``visible``, and anything else, also ready markup, as it is."""
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
