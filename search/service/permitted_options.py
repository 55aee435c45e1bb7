"""Which options of a configuration a request may set: all but those of the tables here.

Whoever has a token may start trainings. That does not make a request a way to read the server's
files, to write to its folders, or to let it reach other hosts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from archfront.search.config.schema import Config
from archfront.search.config.value_words import text_of
from archfront.search.service.service_settings import ServiceSettings
from archfront.trainers.words import quoted

# Options, or groups of them, that no request sets, with the reason.
REFUSED = {
    "study": "the name of a study is the field name of the request",
    "tracking": "the server says where records are kept",
    "data.outside_root": "annotations could name any file of the server as an image",
    "data.download": "the server downloads no data; download it before, or upload it",
}
# Options with paths, which lie in the folders of data that the server was started with.
PLACES = ("data.root", "data.annotations", "space.weights")
# Values of such an option that are no paths.
NO_PATHS = {"space.weights": ("none", "pretrained")}
# The only values of the refused options of data that the configuration of a request has.
ONLY = {"data.outside_root": "forbid", "data.download": False}


def refusal_of(option: str) -> str | None:
    """Return why no request sets an option or a group; None where a request may."""
    parts = option.split(".")
    names = (".".join(parts[:n]) for n in range(1, len(parts) + 1))
    return next((REFUSED[name] for name in names if name in REFUSED), None)


def option_problem(settings: ServiceSettings, option: str, value: Any) -> str | None:
    """Return why a request may not set an option to a value; None where it may."""
    reason = refusal_of(option)
    if reason is not None:
        return f"{option}: a request cannot set it, since {reason}. Leave it out."
    if option in PLACES:
        return _place_problem(settings, option, value, is_data=option != "space.weights")
    return None


def config_problems(settings: ServiceSettings, config: Config) -> list[str]:
    """Return why a request may not have a composed configuration, whatever it was made from."""
    content = config.as_dict()
    problems = []
    for option, only in ONLY.items():
        if (value := _value(content, option)) != only:
            problems.append(
                f"{option}: {text_of(value)} is not for requests, since {REFUSED[option]}."
            )
    is_pickled = config.data.reader == "torchvision"
    for option in PLACES:
        is_data = option != "space.weights" and not (option == "data.root" and is_pickled)
        found = _place_problem(settings, option, _value(content, option), is_data=is_data)
        problems += [] if found is None else [found]
    return problems


def _place_problem(
    settings: ServiceSettings, option: str, value: Any, *, is_data: bool
) -> str | None:
    """Return why a request may not name a path; None where it may.

    Args:
        settings: Those of the server.
        option: The option.
        value: Its value.
        is_data: Whether images and annotations are read there, which may be uploaded. Weights and
            torchvision's files could be code.
    """
    if value is None or text_of(value) in ("", "null", *NO_PATHS.get(option, ())):
        return None
    try:
        path = Path(text_of(value)).expanduser()
        is_inside, is_there = settings.holds(path, uploads=is_data), path.exists()
    except (OSError, RuntimeError, ValueError):  # a loop of links, no home folder, a null byte
        is_inside = is_there = False
    # torchvision's folder is made with its first dataset.
    if is_inside and (is_there or path == settings.root / "data"):
        return None
    if is_inside:
        return f"{option}: there is nothing at {quoted(value)}. Give a path that is there."
    folders = [str(folder) for folder in settings.data_roots]
    allowed = f"within {_listed(folders)}" if folders else "nowhere"
    more = ", or be the root of an uploaded dataset" if is_data else ""
    is_name = option == "data.root" and Path(text_of(value)).name == text_of(value)
    roots = (
        " It is a name, no path: /api/v1/datasets has the roots of datasets." if is_name else ""
    )
    return (
        f"{option}: such a path may lie {allowed}{more}; got {quoted(value)}.{roots} "
        "The server is given more folders with archfront serve --data-root DIR."
    )


def _listed(folders: Sequence[str]) -> str:
    return " or ".join(folders)


def _value(content: Mapping[str, Any], option: str) -> Any:
    """Return the value of a dotted option in nested content."""
    value: Any = content
    for name in option.split("."):
        value = value[name]
    return value
