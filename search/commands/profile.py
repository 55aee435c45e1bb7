"""``archfront profile``: what a dataset is like, and what is wrong with it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from archfront.search.commands.consoles import (
    echo,
    print_note,
    stderr_progress,
    wide_console,
)
from archfront.search.commands.flags import add_composition, collecting, page_problems
from archfront.search.errors import ConfigError
from archfront.search.profile.remembered_answers import Answer, remember, remembered

if TYPE_CHECKING:
    from archfront.search.config.schema import Config
    from archfront.search.profile.dataset_profile import DatasetProfile

WIDTH = 80  # columns of what is not shown in a terminal
TEXT = """\
Look at every image of a dataset once and tell what the choice of an architecture depends on: the
classes and their balance, the sizes of images and objects, how dense and how complex they are;
and what is wrong: broken files, copies across splits, contradicting labels, empty classes, images
of odd sizes, and videos or slides whose frames or tiles lie in several splits.

Nothing is trained and nothing is changed. A second call answers at once while no file changes.
"""
EXAMPLES = """\
examples:
  archfront profile data.root=photos
  archfront profile task=detection data.root=BCCD --html profile.html
  archfront profile task=semantic data.root=nuclei --json

words are those of archfront run: the data and the task; the input sizes of the space are those at
which the objects are told. The exit status is 0, whatever is found.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront profile`` takes."""
    parser.description = TEXT
    parser.epilog = EXAMPLES
    add_composition(parser)
    parser.add_argument("--json", action="store_true", help="the profile as one record")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write it as a page with pictures too"
    )
    parser.add_argument("--plain", action="store_true", help="no progress bar")


def call(arguments: argparse.Namespace) -> int:
    """Print the profile of a dataset and return the exit status."""
    problems = page_problems(arguments.html)
    if problems:
        from archfront.search.commands.run import config_of

        with collecting(problems):
            config_of(arguments.words, config_dirs=arguments.config_dir)
        raise ConfigError(*problems)
    profile = answer_to(
        arguments.words,
        config_dirs=arguments.config_dir,
        page=arguments.html,
        is_plain=arguments.plain,
        tell=print_note,
    )
    if arguments.json:
        echo(profile.as_json())
        return 0
    from archfront.search.report.profile_text import profile_table

    wide_console(WIDTH).print(profile_table(profile))
    return 0


def answer_to(
    words: list[str],
    *,
    config_dirs: Sequence[Path] = (),
    page: Path | None = None,
    is_plain: bool,
    tell: Callable[[str], None],
) -> DatasetProfile:
    """Return the profile of the data that words ask for; remembered where nothing has changed.

    Args:
        words: Those of ``archfront run``.
        config_dirs: Folders of the user's own yaml files, with which no answer is remembered.
        page: File to write the profile to, as a page with pictures; None for none.
        is_plain: Whether there is no bar.
        tell: Takes what was chosen where nothing was given, a line each.

    Raises:
        ConfigError: With everything that is wrong with the words.
        DataError: If the data is not there, or no image can be used.
    """
    answer = remembered(words) if page is None and not config_dirs else None
    if answer is not None:
        for note in answer.notes:
            tell(note)
        return answer.profile
    from archfront.search.commands.run import config_of
    from archfront.search.prepare.data_reference import data_ref

    notes: list[str] = []

    def note_and_tell(line: str) -> None:
        notes.append(line)
        tell(line)

    config = config_of(words, config_dirs=config_dirs, tell=note_and_tell)
    profile = _profile(config, is_plain=is_plain)
    if not config_dirs:
        remember(words, data_ref(config), Answer(profile, tuple(notes)))
    if page is not None:
        _write_page(profile, config, page.expanduser())
    return profile


def _profile(config: Config, *, is_plain: bool) -> DatasetProfile:
    """Return the profile of the data, with a bar on standard error while it is looked at."""
    from archfront.search.prepare.data_reference import data_ref, profile_cache
    from archfront.search.profile.profile_cache import profile_of

    cache = profile_cache(config)
    ref, task, title = data_ref(config), config.task.name, config.data.title
    if is_plain:
        found = profile_of(ref, task, title, cache)
    else:
        with stderr_progress() as progress:
            found = profile_of(
                ref, task, title, cache, lambda done, n: progress("looking at images", done, n)
            )
    if found.objects is None:
        return found
    from archfront.search.prepare.profiled_space import with_space

    return with_space(found, config)


def _write_page(profile: DatasetProfile, config: Config, file: Path) -> None:
    """Write a profile as a page, with pictures of the images."""
    from archfront.search.prepare.data_reference import data_ref
    from archfront.search.profile.make_profile import found_limit
    from archfront.search.report.profile_page import Images, render_profile
    from archfront.trainers.data.readers import read_raw
    from archfront.trainers.drawing.colors import class_color
    from archfront.trainers.files import write_whole

    ref = data_ref(config)
    raw = read_raw(ref)
    images = Images(raw, found_limit(ref, raw), class_color)
    write_whole(file, render_profile(profile, images))
