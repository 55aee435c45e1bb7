"""Every timm backbone with what is known of it before a network is built.

``table`` reads the two shipped files and needs neither timm nor torch; ``describe`` and ``build``
write the larger one from the installed timm: ``archfront catalog build``.
"""

from archfront.search.catalog.backbones import (
    PATH,
    PUBLISHED,
    Backbone,
    Costs,
    Published,
    Tag,
    catalog,
    match,
    near,
    timm_version,
)

__all__ = [
    "PATH",
    "PUBLISHED",
    "Backbone",
    "Costs",
    "Published",
    "Tag",
    "catalog",
    "match",
    "near",
    "timm_version",
]
