"""The points of a team's own models beside the front of a study."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from pydantic import ConfigDict, Field

from archfront.search.service.bodies import Body, Name
from archfront.search.service.dependencies import TheService, Who

router = APIRouter(prefix="/studies/{name}/points", tags=["front"])


EXAMPLE: dict[str, Any] = {"name": "our model", "metric": 0.91, "cost": 8.2}


class PointRequest(Body):
    """A model of one's own: what it is worth, and what it costs."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    name: Name
    metric: float = Field(
        ge=-1e12, le=1e12, allow_inf_nan=False, description="the metric of the study"
    )
    cost: float = Field(
        gt=0, le=1e12, allow_inf_nan=False, description="its second objective, as latency_ms"
    )


class PointAnswer(PointRequest):
    """A point; ``created`` in seconds since the epoch, ``created_by`` the name of a token."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{**EXAMPLE, "created": 1800000000.0, "created_by": "laptop"}]
        },
    )

    created: float
    created_by: str


@router.get("")
def list_points(name: str, service: TheService) -> list[PointAnswer]:
    """Return the points of a study, the cheapest first."""
    id = service.results(name).begun().id
    return [PointAnswer(**row) for row in service.points.listed(id)]


@router.post("", status_code=201)
def add_point(name: str, asked: PointRequest, service: TheService, who: Who) -> PointAnswer:
    """Add the point of a model of one's own, which the page draws beside the front."""
    id = service.results(name).begun().id
    by = who.name if who else ""
    row = service.points.add(id, asked.name, metric=asked.metric, cost=asked.cost, by=by)
    return PointAnswer(**row)


@router.delete("/{point}", status_code=204)
def remove_point(name: str, point: str, service: TheService) -> Response:
    """Remove a point by its name."""
    service.points.remove(service.results(name).begun().id, point)
    return Response(status_code=204)
