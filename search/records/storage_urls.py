"""Databases as the storage of a study: their URLs, and the errors of opening them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from archfront.search.errors import StudyError
from archfront.search.records.journal import UNFIT, clear_errors
from archfront.search.records.paths import StudyPaths


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
            f"The storage {hide_password(url)} cannot be opened: {str(error).splitlines()[0]}. "
            "Check tracking.storage_url: its driver, host, user and database."
        ) from error
    except UNFIT as error:
        raise StudyError(
            f"The study {paths.study!r} in {hide_password(url)} cannot be read: {error}."
        ) from error


def hide_password(url: str) -> str:
    """Return a URL with its password replaced."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url
