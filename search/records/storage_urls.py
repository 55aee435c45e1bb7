"""Databases as the storage of a study: their URLs, and the errors of opening them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from archfront.search.errors import StudyError
from archfront.search.records.journal import UNFIT, clear_errors
from archfront.search.records.paths import StudyPaths
from archfront.trainers.words import WIDTH, shortened

# The environment's URL of the database.
STORAGE_VARIABLE = "ARCHFRONT_STORAGE_URL"


@contextlib.contextmanager
def storage_errors(paths: StudyPaths, url: str | None) -> Iterator[None]:
    """Turn what opening a storage, a journal or a database, raises into one error for people."""
    import sqlalchemy.exc

    if url is None:
        with clear_errors(paths):
            yield
        return
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        raise StudyError(
            f"The storage {shortened(hide_password(url), WIDTH)} cannot be opened: "
            f"{str(error).splitlines()[0]}. "
            "Check tracking.storage_url: its driver, host, user and database."
        ) from error
    except UNFIT as error:
        raise StudyError(
            f"The study {paths.study!r} in {hide_password(url)} cannot be read: {error}."
        ) from error


def hide_password(url: str) -> str:
    """Return a URL with its password replaced, whatever the rest of it is."""
    # A password may hold an @ that was not quoted: it ends at the last one before the options.
    place, mark, options = (
        url.partition("?") if "@" not in url.partition("?")[2] else (url, "", "")
    )
    place = re.sub(r"(://[^:/@]*:).*@", r"\1***@", place)
    return place + mark + re.sub(r"(?i)(password=)[^&]*", r"\1***", options)


def revealed(stored: str | None, *known: str | None) -> str | None:
    """Return the known URL that is a stored one, whose password is hidden.

    Args:
        stored: As ``hide_password`` returns it.
        known: URLs with their passwords.
    """
    if stored is None:
        return None
    return next((url for url in known if url is not None and hide_password(url) == stored), None)
