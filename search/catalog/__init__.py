"""Every timm backbone with its costs, sizes, heads and weights, known before it is built.

``catalog_files`` reads the two shipped files and needs neither timm nor torch; ``describe`` and
``build_catalog`` write the larger one from the installed timm: ``archfront catalog build``.
"""

from archfront.search.catalog.backbones import Backbone, Costs, Published, Tag
from archfront.search.catalog.catalog_files import (
    PATH,
    PUBLISHED,
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
