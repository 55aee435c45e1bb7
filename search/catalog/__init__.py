"""Every timm backbone with its costs, sizes, heads and weights, known before it is built.

``backbones`` reads the two shipped files and needs neither timm nor torch; ``describe`` and
``build_catalog`` write the larger one from the installed timm: ``archfront catalog build``.
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
