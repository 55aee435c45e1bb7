"""The one form of every error that the service answers, without a traceback.

::

    {"error": {"code": "bad_configuration", "message": "2 problems in the request",
               "problems": [{"option": "budget.minutes", "message": "..."}]}}
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from archfront.search.config.build import options
from archfront.search.config.compose import GROUPS
from archfront.search.errors import (
    ArchfrontError,
    ArtifactError,
    ConfigError,
    DatabaseError,
    DataError,
    RequestError,
    ServiceError,
    StudyError,
    StudyLockedError,
    StudyStoppedError,
)
from archfront.search.service.bodies import NAME_FIELD
from archfront.search.service.field_words import field_problem
from archfront.trainers.machine import machine_failure
from archfront.trainers.words import count_of

logger = logging.getLogger(__name__)

# Status and code by the kind of error, the first that fits.
ANSWERS: tuple[tuple[type[ArchfrontError], int, str], ...] = (
    (ConfigError, 422, "bad_configuration"),
    (DataError, 422, "bad_data"),
    (StudyLockedError, 409, "study_is_running"),
    (StudyStoppedError, 409, "study_stopped"),
    (DatabaseError, 503, "database_not_ready"),
    (StudyError, 409, "bad_study"),
    (ArtifactError, 409, "bad_export"),
    (ServiceError, 503, "service_not_ready"),
    (ArchfrontError, 400, "refused"),
)
# An option or a group in front of the message of a problem.
_OPTION = re.compile(r"([a-z_]+(?:\.\w+)*)(?:=[^\s:]*)?: ")
Problem = dict[str, str | None]


def body(code: str, message: str, problems: Iterable[Problem] = ()) -> dict[str, Any]:
    """Return the content of an answer that is an error."""
    return {"error": {"code": code, "message": message, "problems": list(problems)}}


def answer(
    status: int,
    code: str,
    message: str,
    problems: Iterable[Problem] = (),
    *,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return the answer that is an error."""
    return JSONResponse(body(code, message, problems), status, headers=headers)


def problem(text: str) -> Problem:
    """Return a problem of a configuration with the option that it begins with, if it does."""
    found = _OPTION.match(text)
    option = found[1] if found is not None else None
    is_known = option is not None and (option in _known() or option.split(".")[0] in GROUPS)
    return {"option": option if is_known else None, "message": text}


@cache
def _known() -> frozenset[str]:
    return frozenset({NAME_FIELD, *(path for path, _, _ in options())})


def refusal(error: ArchfrontError) -> JSONResponse:
    """Return the answer to a request that ended in one of archfront's errors."""
    if isinstance(error, RequestError):
        about: list[Problem] = [{"option": error.option, "message": str(error)}]
        return answer(error.status, error.code, str(error), about if error.option else ())
    status, code = next((s, code) for kind, s, code in ANSWERS if isinstance(error, kind))
    if not isinstance(error, ConfigError):
        return answer(status, code, str(error))
    found = [problem(text) for text in error.problems]
    message = error.problems[0] if len(found) == 1 else f"{count_of(len(found), 'problem')}."
    return answer(status, code, message, found)


def add_handlers(
    app: FastAPI, page: Callable[[Request, int, str], Response | None] = lambda *_: None
) -> None:
    """Let every error of an application be answered in the one form.

    Args:
        app: The application.
        page: Returns the page of an error's status and message; None where no page is asked for.
    """

    @app.exception_handler(ArchfrontError)
    def _(request: Request, error: ArchfrontError) -> Response:
        refused = refusal(error)
        return page(request, refused.status_code, str(error)) or refused

    @app.exception_handler(HTTPException)
    def _(request: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        code = CODES.get(status) or re.sub(r"\W+", "_", status.phrase.lower())
        said = str(error.detail)
        message = MESSAGES.get(error.status_code, said) if said == status.phrase else said
        shown = page(request, error.status_code, message)
        return shown or answer(error.status_code, code, message, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    def _(request: Request, error: RequestValidationError) -> JSONResponse:
        found = [_of_field(one) for one in error.errors()]
        return answer(422, "bad_request", f"{count_of(len(found), 'problem')}.", found)

    @app.exception_handler(Exception)
    def _(request: Request, error: Exception) -> JSONResponse:
        failure = machine_failure(error)
        if failure is not None:
            message = f"{failure.cause}. {failure.remedy}"
            return answer(507, "machine", message)
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return answer(
            500,
            "internal_error",
            "archfront itself failed at this request. The log of the server says where.",
        )


# In place of the bare names of statuses.
CODES = {413: "too_large"}
MESSAGES = {
    404: "There is no such page. The paths of the service: /api/v1/openapi.json.",
    405: "This path does not take this method. The paths of the service: /api/v1/openapi.json.",
    413: "The body of the request is larger than the service takes.",
}


def _of_field(error: Mapping[str, Any]) -> Problem:
    """Return the problem of a field of a request, by its place in the request."""
    if error["type"] == "json_invalid":
        return {"option": None, "message": f"The body is no JSON: {error['ctx']['error']}."}
    place = ".".join(str(part) for part in error["loc"][1:])  # after body, query or path
    if not place:
        advice = "An object of JSON is needed, with the header Content-Type: application/json."
        return {"option": None, "message": advice}
    return {"option": place, "message": f"{place}: {field_problem(error)}"}
