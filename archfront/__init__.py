"""The Pareto front of accuracy against latency for your images on your device.

::

    import archfront as af

    study = af.run("data.root=photos", "hardware.limits.latency_ms=20", "study=flowers")
    study = af.open("flowers")
    study.front                               # a pandas DataFrame
    study.member("knee").predict("photo.jpg")
    af.profile("data.root=photos").faults     # what is wrong with the images

Importing the package loads nothing: what it gives is loaded when it is used first. ``search``,
``trainers`` and ``conf`` are links to the folders beside this one, so that a checkout, an
installed wheel, linters and editors all see one package of one name.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing it from typing would take longer than all of the rest
if TYPE_CHECKING:
    from typing import Any

    from archfront.search.api.client import Client
    from archfront.search.api.member_handle import Member
    from archfront.search.api.profile_handle import Profile, profile
    from archfront.search.api.run_study import run
    from archfront.search.api.study_handle import Study
    from archfront.search.api.study_handle import open_study as open
    from archfront.search.errors import ArchfrontError

__all__ = ["ArchfrontError", "Client", "Member", "Profile", "Study", "open", "profile", "run"]

# The module of each name, and what it is called there.
_PLACES = {
    "ArchfrontError": ("archfront.search.errors", "ArchfrontError"),
    "Client": ("archfront.search.api.client", "Client"),
    "Member": ("archfront.search.api.member_handle", "Member"),
    "Profile": ("archfront.search.api.profile_handle", "Profile"),
    "Study": ("archfront.search.api.study_handle", "Study"),
    "open": ("archfront.search.api.study_handle", "open_study"),
    "profile": ("archfront.search.api.profile_handle", "profile"),
    "run": ("archfront.search.api.run_study", "run"),
}

if not TYPE_CHECKING:  # for which every name would be one of the package

    def __getattr__(name: str) -> Any:
        """Return a name of the package, loaded when it is used first."""
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        module, own_name = _PLACES[name]
        globals()[name] = value = getattr(import_module(module), own_name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
