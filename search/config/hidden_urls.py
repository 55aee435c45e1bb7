"""The passwords of databases: hidden in what is stored, and taken from the environment again."""

from __future__ import annotations

import os
from typing import Any

from archfront.search.records.storage_urls import STORAGE_VARIABLE, hide_password, revealed

# Options of ``tracking`` that may hold a password.
URLS = ("mlflow_uri", "storage_url", "latency_url")
HIDDEN = ":***@"


def without_passwords(content: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration as it is stored."""
    tracking = content["tracking"]
    urls = {name: tracking[name] for name in URLS if tracking.get(name) is not None}
    hidden = {name: hide_password(url) for name, url in urls.items()}
    return {**content, "tracking": {**tracking, **hidden}}


def with_passwords(content: dict[str, Any]) -> dict[str, Any]:
    """Return a stored configuration with the passwords that the environment knows."""
    tracking = content.get("tracking")
    if not isinstance(tracking, dict):
        return content
    known = os.environ.get(STORAGE_VARIABLE)
    urls = {
        name: revealed(tracking[name], known) for name in URLS if is_hidden(tracking.get(name))
    }
    found = {name: url for name, url in urls.items() if url is not None}
    return {**content, "tracking": {**tracking, **found}}


def without_hidden(content: dict[str, Any]) -> dict[str, Any]:
    """Return a stored configuration without the URLs whose passwords are not known."""
    tracking = content["tracking"]
    lacking = {name: None for name in URLS if is_hidden(tracking.get(name))}
    return {**content, "tracking": {**tracking, **lacking}}


def is_hidden(url: object) -> bool:
    """Return whether the password of a URL is hidden."""
    return isinstance(url, str) and HIDDEN in url
