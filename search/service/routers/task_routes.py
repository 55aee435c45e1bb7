"""Work on studies in processes of its own: refits, variants, and the tasks that they are."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Response

from archfront.search.errors import RequestError
from archfront.search.report import refit_text
from archfront.search.results import refit_results, variant_results
from archfront.search.results.select_members import chosen_trials
from archfront.search.service.dependencies import TheService, Who
from archfront.search.service.state import Service
from archfront.search.service.task_rows import Kind, TaskState
from archfront.search.service.trial_answers import plain
from archfront.search.service.work_answers import (
    RefitRequest,
    RefitsAnswer,
    TaskAnswer,
    TaskDetail,
    VariantsAnswer,
    VariantsRequest,
)

router = APIRouter(tags=["tasks"])


@router.get("/tasks")
def list_tasks(
    service: TheService,
    subject: str | None = None,
    kind: Kind | None = None,
    state: TaskState | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[TaskAnswer]:
    """Return the tasks that fit, the latest first."""
    states = None if state is None else [state]
    rows = service.tasks.rows.listed(subject=subject, kind=kind, states=states, limit=limit)
    return [TaskAnswer.of(row) for row in rows]


@router.get("/tasks/{id}")
def show_task(id: str, service: TheService) -> TaskDetail:
    """Return a task with the last lines that it printed."""
    row = service.tasks.rows.get(id)
    return TaskDetail(**TaskAnswer.of(row).model_dump(), lines=service.tasks.said(row.id))


@router.delete("/tasks/{id}", status_code=204)
def cancel_task(id: str, service: TheService) -> Response:
    """Cancel a task that waits or runs; its process ends. What it finished stays."""
    row = service.tasks.rows.get(id)
    if not row.is_open:
        raise RequestError(409, "wrong_state", f"The task {id} is {row.state} already.")
    service.tasks.cancel(row.id)
    return Response(status_code=204)


@router.post("/studies/{name}/refit", status_code=202)
def refit(name: str, asked: RefitRequest, service: TheService, who: Who) -> TaskAnswer:
    """Train members in full, in a process of its own."""
    check_members(service, name, asked.members)
    by = who.name if who else ""
    return TaskAnswer.of(service.tasks.add("refit", name, asked.words(name), by=by))


@router.get("/studies/{name}/refits")
def show_refits(name: str, service: TheService) -> RefitsAnswer:
    """Return what the full trainings of a study say, and the tasks that make them."""
    found = refit_results.summary(service.results(name))
    rows = service.tasks.rows.listed(subject=name, kind="refit")
    return RefitsAnswer(
        summary=None if found is None else plain(asdict(found)),
        notes=[] if found is None else refit_text.sentences(found),
        tasks=[TaskAnswer.of(row) for row in rows],
    )


@router.post("/studies/{name}/variants", status_code=202)
def make_variants(name: str, asked: VariantsRequest, service: TheService, who: Who) -> TaskAnswer:
    """Make members at other sizes, runtimes and precisions, in a process of its own."""
    check_members(service, name, asked.members)
    by = who.name if who else ""
    return TaskAnswer.of(service.tasks.add("variants", name, asked.words(name), by=by))


@router.get("/studies/{name}/variants")
def show_variants(name: str, service: TheService) -> VariantsAnswer:
    """Return what the variants of a study's members say, and the tasks that make them."""
    found = variant_results.summary(service.results(name))
    rows = service.tasks.rows.listed(subject=name, kind="variants")
    return VariantsAnswer(
        summary=None if found is None else plain(asdict(found)),
        notes=[] if found is None else [found.sentence],
        tasks=[TaskAnswer.of(row) for row in rows],
    )


def check_members(service: Service, name: str, members: list[str]) -> None:
    """Raise an error unless members are candidates of a study that a command can take.

    Raises:
        RequestError: If there is no such study, or its name would be taken for a flag.
        StudyError: If a name stands for no trained candidate.
    """
    results = service.results(name)
    if name.startswith("-"):
        raise RequestError(409, "bad_name", f"The study {name!r} can be used by --config alone.")
    chosen_trials(results, members)
