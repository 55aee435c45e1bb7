"""The errors of archfront, all of them something that a person can fix.

::

    ArchfrontError
    ├── ConfigError            the configuration, every problem at once
    ├── DataError              images, labels, splits
    ├── WeightsError           first weights missing or foreign
    │   └── FetchError         first weights that a study counted on and cannot download
    ├── DamagedError           a kept file that is not as it was written
    │   └── StateError         the state of a training that cannot be gone on from
    ├── BuildError             a network that cannot be built
    ├── DivergedError          a loss that is not finite
    ├── ExportError            a network that no exporter takes
    ├── ParityError            an export that does not compute what eager computes
    ├── TableError             a file of latencies that cannot be read or written
    ├── ArtifactError          an exported model that is damaged, foreign or asked the wrong thing
    ├── ServiceError           the service cannot start or use its database
    │   └── RequestError       a request to the service that is refused
    └── StudyError             a study that cannot be opened or go on
        ├── DatabaseError      a team's database that cannot be reached or used
        ├── StudyLockedError   another driver runs it
        ├── StudyStoppedError  the machine does not let it go on
        └── ConfigChangedError resumed with another identity
"""

from __future__ import annotations

from archfront.trainers.errors import (
    ArchfrontError,
    BuildError,
    ConfigError,
    DamagedError,
    DataError,
    DivergedError,
    FetchError,
    StateError,
    WeightsError,
    unknown,
)

__all__ = [
    "ArchfrontError",
    "ArtifactError",
    "BuildError",
    "ConfigChangedError",
    "ConfigError",
    "DamagedError",
    "DataError",
    "DatabaseError",
    "DivergedError",
    "ExportError",
    "FetchError",
    "ParityError",
    "RequestError",
    "ServiceError",
    "StateError",
    "StudyError",
    "StudyLockedError",
    "StudyStoppedError",
    "TableError",
    "WeightsError",
    "unknown",
]


class ExportError(ArchfrontError):
    """A network that no exporter could turn into the runtime's format."""


class ParityError(ArchfrontError):
    """An exported network whose outputs differ from eager PyTorch."""


class TableError(ArchfrontError):
    """A file of latencies that cannot be read, or not written where it was asked for."""


class ArtifactError(ArchfrontError):
    """An exported model that cannot be used: damaged, foreign, or not made for what is asked."""


class ServiceError(ArchfrontError):
    """A service that cannot start, or whose database does not answer."""


class RequestError(ServiceError):
    """A request to the service that is refused.

    Attributes:
        status: Status of HTTP.
        code: Name of the error for programs, in lower case with underscores.
        option: The field or option of the request that it is about, if it is about one.
    """

    def __init__(self, status: int, code: str, message: str, option: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.option = status, code, option

    def __reduce__(self) -> tuple[type[RequestError], tuple[int, str, str, str | None]]:
        """Pickle by all parts."""
        return type(self), (self.status, self.code, str(self), self.option)


class StudyError(ArchfrontError):
    """A study that is not there, cannot be opened or cannot go on."""


class DatabaseError(StudyError):
    """A team's database that cannot be reached or used.

    Attributes:
        is_away: Whether it may be back soon.
    """

    is_away = False


class StudyLockedError(StudyError):
    """A study that another driver holds."""


class StudyStoppedError(StudyError):
    """A study that the machine does not let go on, as by a full disk."""


class ConfigChangedError(StudyError):
    """A resumed study whose identity differs from the stored one."""
