"""Whether the server is well, and its versions."""

from __future__ import annotations

import importlib.metadata

from fastapi import APIRouter

from archfront.search.service.bodies import Health, Version
from archfront.search.service.dependencies import TheService

router = APIRouter(tags=["health"])
# What trains, measures, searches and records.
LIBRARIES = ("torch", "timm", "onnxruntime", "openvino", "optuna", "mlflow")
API = 1


@router.get("/health")
def health(service: TheService) -> Health:
    """Return that the server answers and its database too; needs no token."""
    service.database.ping()
    return Health(status="ok")


@router.get("/version")
def version() -> Version:
    """Return the versions of archfront and of its libraries."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return Version(archfront=importlib.metadata.version("archfront"), api=API, libraries=found)
