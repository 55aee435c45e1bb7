"""What the values of masks mean: the classes, what does not count, and what cannot be right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from archfront.trainers.data.mask_facts import MaskFacts
from archfront.trainers.data.raw import Skipped
from archfront.trainers.data.ref import DataRef
from archfront.trainers.data.targets import IGNORED
from archfront.trainers.errors import DataError
from archfront.trainers.words import count_of, join_words

NOT_COUNTED = "ignored"  # the name in a palette of what does not count
# Share of the pixels up to which 255 beside the values 0, 1, ... is what nobody labeled. That of
# VOC is 5 %, that of Cityscapes 12 %.
VOID_SHARE = 0.2
# Names of what is usually not counted.
VOID_NAMES = {"void", "ignore", "ignored", "unlabeled", "unlabelled", "unknown"}
# More values in half of the masks, and in all together, up to above the third: smoothed edges.
# Masks of 150 classes (ADE20K) have about 10 values each.
SMOOTH = (16, 40, 127)
N_SHOWN = 3
Values = tuple[tuple[int | tuple[int, ...], int], ...]
Facts = Mapping[Path, MaskFacts]


@dataclass(frozen=True)
class Classes:
    """The names of the classes, the class of each value or color in a mask, and notes."""

    names: tuple[str, ...]
    values: Values
    notes: tuple[Skipped, ...] = ()


def classes_of(ref: DataRef, facts: Facts, where: str) -> Classes:
    """Return the classes of masks, by what is said of them and by what they hold.

    Args:
        ref: Says a palette or the names of the classes, or neither.
        facts: What each mask holds that can be read.
        where: What to call the data.

    Raises:
        DataError: If the masks cannot be what they should be; the message says which and why.
    """
    _check_exact(facts, where)
    if ref.palette:
        return _by_palette(dict(ref.palette), ref.ignore_index)
    _check_numbers(facts, where)
    facts = {file: mask for file, mask in facts.items() if not mask.is_color}
    found: Counter[int] = Counter()
    for mask in facts.values():
        found.update(mask.pixels)
    _check_mixed(facts, where)
    if ref.classes is None:
        return _by_values(found, ref.ignore_index, where)
    return _by_names(ref, ref.classes, found, facts, where)


def _check_exact(facts: Facts, where: str) -> None:
    """Raise an error if the values are those of lossy compression or of smoothed edges."""
    lossy = [file for file, mask in facts.items() if mask.is_lossy]
    values = {value for file in lossy for value in facts[file].pixels}
    if lossy and (len(values) > 2 or any(facts[file].has_many for file in lossy)):
        n = f"{len(values):,} values" if not any(facts[f].has_many for f in lossy) else "colors"
        raise DataError(
            f"{where}: {count_of(len(lossy), 'mask is a JPEG file', 'masks are JPEG files')}, as "
            f"{_shown(lossy)}, with {n}{_range(values)} in all. JPEG compresses with loss and "
            "changes the values of a mask. Save the masks as PNG from what they were made of."
        )
    numbers = [mask for mask in facts.values() if not mask.is_color]
    all_values = {value for mask in numbers for value in mask.pixels}
    each, total, most = SMOOTH
    many = [file for file, mask in facts.items() if len(mask.pixels) > each and not mask.is_color]
    if not numbers or len(all_values) <= total or max(all_values) <= most:
        return
    if median(len(mask.pixels) for mask in numbers) > each and max(all_values) <= IGNORED:
        raise DataError(
            f"{where}: {count_of(len(many), 'mask has', 'masks have')} more than {each} values, "
            f"as {_shown(many)}, and all together {len(all_values)}{_range(all_values)}: those "
            "are smoothed edges, from lossy compression or from resizing, and no classes. Make "
            "the masks anew with nearest neighbor, as PNG."
        )


def _check_numbers(facts: Facts, where: str) -> None:
    """Raise an error if masks have colors, or numbers beyond 255, and no palette says of what."""
    colored = [file for file, mask in facts.items() if mask.is_color]
    if len(colored) * 2 > len(facts):
        counts: Counter[int] = Counter()
        for file in colored:
            counts.update(facts[file].pixels)
        total = max(sum(counts.values()), 1)
        shown = [f"{_color(c)} {n / total:.0%}" for c, n in counts.most_common(8)]
        more = f" and {len(counts) - 8:,} more" if len(counts) > 8 else ""
        listed = f", {count_of(len(counts), 'color')}: {', '.join(shown)}{more}" if shown else ""
        raise DataError(
            f"{where}: {count_of(len(colored), 'mask has', 'masks have')} colors, as "
            f"{_shown(colored)}{listed}. Name the class of each with data.palette, as "
            "data.palette.road=[128,64,128]."
        )
    wide = [file for file, mask in facts.items() if max(mask.pixels, default=0) > IGNORED]
    if len(wide) * 2 > len(facts):
        values = sorted({value for file in wide for value in facts[file].pixels})
        listed = join_words([str(value) for value in values[:6]])
        more = f" and {len(values) - 6:,} more" if len(values) > 6 else ""
        raise DataError(
            f"{where}: {count_of(len(wide), 'mask has', 'masks have')} values beyond 255, as "
            f"{_shown(wide)}; in all {listed}{more}. Numbers of classes end at 255: save the "
            "masks with 8 bits and the values 0, 1, 2, ..."
        )


def _check_mixed(facts: Facts, where: str) -> None:
    """Raise an error if some masks have 0 and 1, and others 0 and 255."""
    kinds = {frozenset(mask.pixels) - {0} for mask in facts.values()} - {frozenset()}
    if kinds != {frozenset({1}), frozenset({IGNORED})}:
        return
    ones = [file for file, mask in facts.items() if 1 in mask.pixels]
    whites = [file for file, mask in facts.items() if IGNORED in mask.pixels]
    raise DataError(
        f"{where}: {count_of(len(ones), 'mask has', 'masks have')} the values 0 and 1, as "
        f"{_shown(ones)}, and {len(whites):,} 0 and 255, as {_shown(whites)}. Save all with the "
        "same two values."
    )


def _check_named(names: Sequence[str], allowed: set[int | None], facts: Facts, where: str) -> None:
    """Raise an error if most masks have values that no class is named for."""
    beyond = [file for file, mask in facts.items() if not mask.pixels.keys() <= allowed]
    if len(beyond) * 2 <= len(facts):
        return  # told one by one, since the others can be used
    values = sorted({value for mask in facts.values() for value in mask.pixels})
    is_dense = values == list(range(len(values)))
    spelled = f"0 to {values[-1]}" if is_dense else _listed(values)
    raise DataError(
        f"{where}: the masks have the values {spelled}, and data.classes names "
        f"{count_of(len(names), 'class', 'classes')}: {_listed(names)}. Name a class for each "
        f"value from 0 on, or say the value of each with data.palette, as "
        f"data.palette.{names[-1]}={values[-1]}. {len(beyond):,} of "
        f"{count_of(len(facts), 'mask')} have other values, as {_shown(beyond)}."
    )


def _by_palette(palette: Mapping[str, tuple[int, ...]], ignore_index: int | None) -> Classes:
    names = tuple(name for name in palette if name != NOT_COUNTED)
    labels = {**{name: label for label, name in enumerate(names)}, NOT_COUNTED: IGNORED}
    keys = {name: key[0] if len(key) == 1 else key for name, key in palette.items()}
    pairs = [(key, labels[name]) for name, key in keys.items()]
    if any(isinstance(key, tuple) for key in keys.values()):
        return Classes(names, tuple(pairs))
    return Classes(names, _with_ignored(pairs, ignore_index))  # type: ignore[arg-type]  # no tuple


def _by_values(found: Counter[int], ignore_index: int | None, where: str) -> Classes:
    """Return a class for each value, except those that are ignored.

    255 is ignored where the others are 0, 1, 2, ... and few pixels have it; else it is a class,
    as the white of a mask that is black and white.
    """
    values = sorted(value for value in found if value != ignore_index and value <= IGNORED)
    notes = []
    if ignore_index is None and len(values) > 2 and values[-1] == IGNORED:
        share = found[IGNORED] / max(sum(found.values()), 1)
        is_dense = values[:-1] == list(range(len(values) - 1))
        if is_dense and share <= VOID_SHARE:
            values.pop()
            what = "so it is ignored; data.palette makes it a class"
        else:
            what = "so it is a class; data.ignore_index=255 leaves it out"
        beside = "0 to " + str(values[-1]) if is_dense else "other values"
        detail = f"255 has {share:.1%} of the pixels, beside {beside}, {what}"
        notes.append(Skipped("value 255", "meaning of the value 255", detail, is_note=True))
    pairs = [(value, label) for label, value in enumerate(values)]
    names = tuple(f"class {value}" for value in values)
    if names:
        detail = (
            f"nothing names the classes of the masks, so they are called {_listed(names)}; name "
            "them with data.classes, or with data.palette if their values are not 0, 1, 2, ..."
        )
        notes.append(Skipped(where, "classes without names", detail, is_note=True))
    return Classes(names, _with_ignored(pairs, ignore_index), tuple(notes))


def _by_names(
    ref: DataRef, names: tuple[str, ...], found: Counter[int], facts: Facts, where: str
) -> Classes:
    """Return the named classes: those of the values from 0 on, or of black and white."""
    notes = []
    values = [value for value in range(IGNORED + 1) if value != ref.ignore_index]
    is_white = found.keys() <= {0, IGNORED} and len(names) == 2 and ref.ignore_index is None
    if is_white and IGNORED in found:
        values = [0, IGNORED]
        detail = f"the masks have the values 0 and 255, so 255 is {names[1]!r}"
        notes.append(Skipped("value 255", "meaning of the value 255", detail, is_note=True))
    pairs = list(zip(values, range(len(names)), strict=False))
    known = dict(pairs)
    _check_named(names, {*known, IGNORED, ref.ignore_index}, facts, where)
    if IGNORED in found and IGNORED not in known:
        share = found[IGNORED] / sum(found.values())
        detail = (
            f"255 has {share:.1%} of the pixels and no name in data.classes, so it is ignored; "
            "data.palette makes it a class"
        )
        notes.append(Skipped("value 255", "meaning of the value 255", detail, is_note=True))
    notes += [
        Skipped(
            where,
            "class that is called void",
            f"{names[label]!r} counts as a class; data.ignore_index={value} and data.classes "
            "without it leave its pixels out",
            is_note=True,
        )
        for value, label in pairs
        if names[label].lower() in VOID_NAMES
    ]
    return Classes(names, _with_ignored(pairs, ref.ignore_index), tuple(notes))


def _with_ignored(pairs: Sequence[tuple[int, int]], ignore_index: int | None) -> Values:
    """Return the class of each value; what is ignored, and 255 where it is no class, has none."""
    values: dict[int | tuple[int, ...], int] = {IGNORED: IGNORED}
    if ignore_index is not None:
        values[ignore_index] = IGNORED
    values.update(pairs)
    return tuple(values.items())


def _range(values: set[int]) -> str:
    return f" between {min(values)} and {max(values)}" if values else ""


def _color(packed: int) -> str:
    return f"({packed >> 16}, {packed >> 8 & 255}, {packed & 255})"


def _shown(files: Sequence[Path]) -> str:
    return join_words([file.name for file in files[:N_SHOWN]])


def _listed(values: Sequence[object]) -> str:
    shown = [str(value) for value in values[:12]]
    return join_words(shown) + (f" and {len(values) - 12:,} more" if len(values) > 12 else "")
