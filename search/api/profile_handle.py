"""The profile of a dataset in a program or a notebook, as ``archfront profile`` makes it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from archfront.search.commands.consoles import print_note
from archfront.search.commands.profile import answer_to
from archfront.search.config.value_words import words_of
from archfront.search.profile.dataset_profile import DatasetProfile
from archfront.search.profile.faults import Fault
from archfront.search.report.profile_text import all_rows


def profile(*options: str | Mapping[str, Any], quiet: bool = False) -> Profile:
    """Look at every image of a dataset once and return what it is like and what is wrong with it.

    Nothing is trained or changed. A second call looks at no image while no file changes.

    Args:
        options: The words of ``archfront run``, such as ``"data.root=photos"``, and mappings of
            the same. Of two values for one option the last one counts.
        quiet: Whether nothing is printed.

    Raises:
        ConfigError: With everything that is wrong with the options.
        DataError: If the data is not there, or no image can be used.
    """
    tell = (lambda _: None) if quiet else print_note
    return Profile(answer_to(words_of(options), is_plain=quiet, tell=tell))


class Profile:
    """The profile of a dataset.

    Attributes:
        record: All of it: distributions, splits, faults and examples.
    """

    def __init__(self, record: DatasetProfile) -> None:
        """Hold a record.

        Args:
            record: The profile.
        """
        self.record = record

    @property
    def facts(self) -> dict[str, float]:
        """Return the numbers that a choice of architecture depends on, by name."""
        return self.record.meta_features()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Return what is wrong, the worst first: ``kind``, ``text``, ``remedy``."""
        return self.record.faults

    def to_dict(self) -> dict[str, Any]:
        """Return the record as ``archfront profile --json`` prints it."""
        return self.record.as_dict()

    def __repr__(self) -> str:
        """Return the profile in one line."""
        faults = ", ".join(fault.kind for fault in self.faults) or "none found"
        shown = self.record
        return (
            f"<Profile of {shown.data!r}, {shown.task}: {shown.n_images:,} images, "
            f"{shown.n_classes:,} classes, faults: {faults}>"
        )

    def _repr_html_(self) -> str:
        """Return the profile as a notebook shows it: what the command prints, as a table."""
        rows = "".join(
            f'<tr><th style="text-align: left">{escape(word)}</th>'
            f'<td style="text-align: left; white-space: pre-wrap">{escape(text.plain)}</td></tr>'
            for word, text in all_rows(self.record)
        )
        return f"<table>{rows}</table>"
