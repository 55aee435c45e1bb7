"""Which of our networks transformers can load by itself, known without importing it."""

from __future__ import annotations

# Heads that timm builds by itself, with the pooling that each of them asks for.
POOLS: dict[str, dict[str, str]] = {
    "timm": {},
    "avg": {"global_pool": "avg"},
    "max": {"global_pool": "max"},
    "avgmax": {"global_pool": "avgmax"},
}
PROBLEMS = {
    "classification": "single_label_classification",
    "multilabel": "multi_label_classification",
}


def unpublishable(task: str, head: str, channels: int) -> str | None:
    """Return why transformers cannot load such a network by itself; None if it can."""
    if task not in PROBLEMS:
        known = " and ".join(PROBLEMS)
        return f"of a network of timm, transformers loads classifiers only ({known})"
    if channels != 3:
        return (
            "transformers' image processors give three channels, and the network takes one; "
            "data.channels=3 trains networks that take three, of gray images too"
        )
    if head not in POOLS:
        known = ", ".join(POOLS)
        return f"timm cannot rebuild the head {head!r}, which is ours; it can {known}"
    return None
