"""The data of a study in lines and as content, told before anything is measured or trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, astuple
from typing import Any

from archfront.trainers.dataset_summary import DatasetSummary, SkippedSummary
from archfront.trainers.words import count_of, shortened

# Classes and reasons that are named; the others are counted.
SHOWN_CLASSES, SHOWN_REASONS = 20, 12
# Examples of what was left out for one reason, and letters of a class name.
EXAMPLES, NAME_WIDTH = 2, 40


def data_line(data: str, dataset: DatasetSummary) -> str:
    """Return the line of a dataset: what it is called, its classes and its images.

    Args:
        data: Its name for people.
        dataset: Its summary.
    """
    splits = ", ".join(f"{part.images:,} {name}" for name, part in dataset.splits.items())
    classes = count_of(len(dataset.class_names), "class", "classes")
    return f"data      {data}: {classes}, {splits}"


def data_lines(data: str, dataset: DatasetSummary) -> list[str]:
    """Return a dataset with its classes, what was left out of it and what looks wrong.

    Args:
        data: Its name for people.
        dataset: Its summary.
    """
    division = [f"split     {dataset.division}"] if dataset.division else []
    return [
        data_line(data, dataset),
        *division,
        *_tile_lines(dataset),
        *_class_lines(dataset),
        *_reason_lines("skipped", dataset, is_note=False),
        *_reason_lines("note", dataset, is_note=True),
        *(f"warning   {warning.text}" for warning in dataset.warnings),
    ]


def data_record(dataset: DatasetSummary) -> dict[str, Any]:
    """Return the same as plain content for programs, with every class."""

    def reasons(*, is_note: bool) -> list[dict[str, Any]]:
        return [
            {"reason": reason, **_counted(found)}
            for reason, found in dataset.skipped.items()
            if found.is_note is is_note
        ]

    return {
        "classes": list(dataset.class_names),
        "counted": dataset.counted,
        "splits": {name: asdict(part) for name, part in dataset.splits.items()},
        "division": dataset.division,
        "tiles": None if dataset.tiles is None else asdict(dataset.tiles),
        "skipped": reasons(is_note=False),
        "notes": reasons(is_note=True),
        "warnings": [asdict(warning) for warning in dataset.warnings],
    }


def _tile_lines(dataset: DatasetSummary) -> Iterator[str]:
    """Yield how images are cut, where they are."""
    tiles = dataset.tiles
    if tiles is None:
        return
    least, middle, most = (int(n) for n in astuple(tiles.per_image))
    counts = f"{middle}" if least == most else f"{middle} ({least} to {most})"
    yield (
        f"tiles     of {tiles.size} px with {tiles.overlap:.0%} in common, {counts} an image; "
        f"{tiles.splits['train']:,} to learn from. A latency is that of "
        f"{count_of(middle, 'tile')} and {tiles.merge_ms:.2g} ms of merging"
    )


def _counted(skipped: SkippedSummary) -> dict[str, Any]:
    return {"count": skipped.count, "examples": [asdict(e) for e in skipped.examples]}


def _class_lines(dataset: DatasetSummary) -> Iterator[str]:
    """Yield a table of what each split shows of each class."""
    parts = [(name, part.per_class) for name, part in dataset.splits.items() if part.per_class]
    shown = dataset.class_names[:SHOWN_CLASSES]
    if not parts or not shown:
        return
    names = [shortened(_one_line(name), NAME_WIDTH) for name in shown]
    width = max(len(dataset.counted), *map(len, names))
    columns = [[part, *(f"{counts.get(name, 0):,}" for name in shown)] for part, counts in parts]
    widths = [max(map(len, column)) for column in columns]
    for number, name in enumerate([dataset.counted, *names]):
        cells = (f"{c[number]:>{w}}" for c, w in zip(columns, widths, strict=True))
        yield f"{'' if number else 'classes':<9} {name:<{width}}  {'  '.join(cells)}"
    more = len(dataset.class_names) - len(shown)
    if more:
        yield f"          and {count_of(more, 'more class', 'more classes')}"


def _reason_lines(word: str, dataset: DatasetSummary, *, is_note: bool) -> Iterator[str]:
    """Yield a line for each reason, with its count and examples."""
    found = [(r, s) for r, s in dataset.skipped.items() if s.is_note is is_note]
    for reason, skipped in found[:SHOWN_REASONS]:
        # One note is often of all images: its number would be taken for theirs.
        count = "" if is_note and skipped.count == 1 else f", {skipped.count:,}"
        yield f"{word:<9} {reason}{count}{_examples(skipped)}"
    more = found[SHOWN_REASONS:]
    if more:
        total = sum(skipped.count for _, skipped in more)
        yield f"{word:<9} {total:,} for {count_of(len(more), 'more reason')}"


def _one_line(text: str) -> str:
    """Return a text, such as a class name of two lines, with a blank for each run of blanks."""
    return " ".join(text.split())


def _examples(skipped: SkippedSummary) -> str:
    """Return the first examples, after a colon."""
    shown = [
        e.detail if e.name in e.detail else f"{e.name}: {e.detail}"
        for e in skipped.examples[:EXAMPLES]
    ]
    if not shown:
        return ""
    return (
        ": " + "; ".join(map(_one_line, shown)) + ("; ..." if skipped.count > len(shown) else "")
    )
