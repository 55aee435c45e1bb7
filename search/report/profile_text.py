"""A profile in a terminal: what is wrong first, then what a choice of architecture depends on."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from archfront.search.profile.dataset_profile import DatasetProfile, ObjectProfile
from archfront.search.profile.distribution import Distribution
from archfront.trainers.words import count_of, shortened

# Classes that are listed, letters of their names, and letters of a bar.
SHOWN_CLASSES, NAME_WIDTH, BAR_WIDTH = 12, 22, 16
LABEL_WIDTH = 10


def profile_table(profile: DatasetProfile) -> Table:
    """Return a profile as a table of a word and its sentences, which takes any width."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=LABEL_WIDTH, no_wrap=True)
    table.add_column(overflow="fold")
    for word, text in all_rows(profile):
        is_fault = word.startswith("fault")
        table.add_row(Text(word, style="bold red" if is_fault else "bold"), text)
    return table


def short_lines(profile: DatasetProfile) -> list[str]:
    """Return the few lines of a profile that a report of a study begins with."""
    balance = profile.balance
    lines = [f"Images: {line}." for _, line in _size_rows(profile)]
    lines += [f"Objects: {line}." for word, line in _object_rows(profile) if word == "objects"]
    lines += [f"Masks: {line}." for _, line in _mask_rows(profile)]
    if balance.most != balance.least:
        lines.append(
            f"Balance: {balance.imbalance:,.3g} times as many {profile.counted} of "
            f"{balance.most!r} as of {balance.least!r}."
        )
    faults = ", ".join(f"{fault.kind} ({fault.count:,})" for fault in profile.faults)
    return [*lines, f"Faults: {faults or 'none found'}."]


def profile_rows(profile: DatasetProfile) -> Iterator[tuple[str, Text]]:
    """Yield what a choice of architecture depends on: words with their sentences."""
    yield from _balance_rows(profile)
    yield from (
        (word, Text(line))
        for word, line in (
            *_size_rows(profile),
            *_object_rows(profile),
            *_mask_rows(profile),
            *_complexity_rows(profile),
        )
    )


def all_rows(profile: DatasetProfile) -> Iterator[tuple[str, Text]]:
    """Yield everything that is told: the data, its faults, and what a choice depends on."""
    splits = ", ".join(f"{part.images:,} {name}" for name, part in profile.splits.items())
    classes = count_of(profile.n_classes, "class", "classes")
    yield "data", Text(f"{profile.data}: {profile.task}, {classes}, {splits}")
    yield "split", Text(profile.division)
    if not profile.faults:
        yield "faults", Text("none found")
    for number, fault in enumerate(profile.faults, 1):
        text = Text(f"{fault.kind}: ", style="bold").append(fault.text, style="not bold")
        yield f"fault {number}", text.append(f" {fault.remedy}", style="not bold dim")
    yield from profile_rows(profile)


def _balance_rows(profile: DatasetProfile) -> Iterator[tuple[str, Text]]:
    balance = profile.balance
    if balance.most != balance.least:
        yield (
            "balance",
            Text(
                f"{balance.imbalance:,.3g} times as many {profile.counted} of {balance.most!r} as "
                f"of {balance.least!r}; evenness {balance.evenness:.2f} of 1"
            ),
        )
    counts = profile.per_class
    shown = sorted(counts, key=lambda name: -counts[name])
    if len(shown) > SHOWN_CLASSES:
        half = SHOWN_CLASSES // 2
        hidden = count_of(len(shown) - 2 * half, "class", "classes")
        lines = [*_bars(profile, shown[:half]), f"... {hidden} between ..."]
        lines += _bars(profile, shown[-half:])
    else:
        lines = _bars(profile, shown)
    for number, line in enumerate(lines):
        yield ("" if number else profile.counted), Text(line, no_wrap=True, overflow="ellipsis")


def _bars(profile: DatasetProfile, names: list[str]) -> list[str]:
    """Return a line for each class: its name, its number and a bar."""
    counts = profile.per_class
    most = max(max(counts.values()), 1)
    total = max(sum(counts.values()), 1)
    words = [shortened(" ".join(name.split()), NAME_WIDTH) for name in counts]
    width = max(map(len, words))
    digits = len(f"{most:,}")
    return [
        f"{shortened(' '.join(name.split()), NAME_WIDTH):<{width}} {counts[name]:>{digits},} "
        f"{counts[name] / total:>6.1%} {'█' * round(BAR_WIDTH * counts[name] / most)}".rstrip()
        for name in names
    ]


def _size_rows(profile: DatasetProfile) -> Iterator[tuple[str, str]]:
    images = profile.images
    depth = ", ".join(f"{bits} bits" for bits in images.bit_depths)
    formats = ", ".join(f"{name} {n:,}" for name, n in images.formats.items())
    color = "gray" if images.channels == 1 else "color"
    if images.channels == 3 and images.grey_share:
        color = f"color ({images.grey_share:.0%} gray)"
    parts = [color, depth, formats]
    yield (
        "images",
        f"width {_range(images.width, 'px')}, height {_range(images.height, 'px')}, aspect "
        f"{_range(images.aspect)}; {', '.join(part for part in parts if part)}",
    )


def _object_rows(profile: DatasetProfile) -> Iterator[tuple[str, str]]:
    objects = profile.objects
    if objects is None:
        return
    number, side, share = objects.per_image, objects.side_px, objects.side_share
    yield (
        "objects",
        f"{side.n:,}; per image {number.p50:g} (median), {number.p99:g} (99 %), {number.max:g} at "
        f"most; side (root of the area) {side.p10:.3g} to {side.p90:.3g} px, median "
        f"{side.p50:.3g}, which is {share.p10:.1%} to {share.p90:.1%} of the longer side, median "
        f"{share.p50:.1%}; {objects.overlap_share:.0%} overlap another, "
        f"{objects.truncated_share:.0%} touch the border",
    )
    if objects.pixel_share:
        shares = sorted(objects.pixel_share.items(), key=lambda pair: -pair[1])[:SHOWN_CLASSES]
        shown = ", ".join(f"{name} {share:.1%}" for name, share in shares)
        beside = objects.boundary_density
        also = f"; {beside.p50:.1%} of an image's pixels beside another object or the ground"
        yield "", f"of all pixels: {shown}{also if beside.n else ''}"
    yield from _sizes_rows(objects)


def _sizes_rows(objects: ObjectProfile) -> Iterator[tuple[str, str]]:
    for number, at in enumerate(objects.at_sizes):
        yield (
            "" if number else "at size",
            f"{at.input_size} px: {at.p10:.2g} to {at.p90:.2g} cells of stride {at.stride} a "
            f"side, median {at.p50:.2g}; {at.under_a_cell:.0%} under a cell",
        )


def _mask_rows(profile: DatasetProfile) -> Iterator[tuple[str, str]]:
    if profile.masks is not None:
        masks = profile.masks
        yield (
            "masks",
            f"{masks.classes_per_image.p50:g} classes an image (median), "
            f"{masks.boundary_density.p50:.1%} of its pixels beside another class, "
            f"{masks.ignored_share:.1%} of all pixels ignored",
        )


def _complexity_rows(profile: DatasetProfile) -> Iterator[tuple[str, str]]:
    images = profile.images
    file = images.bits_per_pixel
    size = f", files {_range(file)} bits a pixel" if file.n else ""
    yield (
        "content",
        f"entropy {_range(images.entropy)} of 8 bits, edges {images.edge_density.p10:.1%} to "
        f"{images.edge_density.p90:.1%} of the pixels{size}",
    )
    seen = profile.symmetries
    if seen is not None:
        yield (
            "flips",
            f"told from the images: mirrored {seen.mirrored.right:.0%}, upside down "
            f"{seen.upside_down.right:.0%}, transposed {seen.transposed.right:.0%} of "
            f"{seen.n_images:,} training images, by chance 50%",
        )
    yield (
        "values",
        f"mean {_list(images.mean)}, std {_list(images.std)} of a range of 1",
    )


def _range(numbers: Distribution, unit: str = "") -> str:
    """Return numbers as their ends and their median."""
    unit = f" {unit}" if unit else ""
    if numbers.min == numbers.max:
        return f"{_number(numbers.min)}{unit}"
    return (
        f"{_number(numbers.min)} to {_number(numbers.max)}{unit} (median {_number(numbers.p50)})"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value < 10 else f"{value:.4g}"


def _list(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)
