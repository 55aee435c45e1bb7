"""The first weights of a space's backbones: at hand, to be fetched, or not to be had."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from archfront.search.config.schema import SpaceConfig
from archfront.search.engine.jobs import Done, Engine, Job
from archfront.search.engine.second_try import found_result
from archfront.search.errors import WeightsError
from archfront.search.jobs.perform import WeightsRequest
from archfront.search.records.header import WeightsKeys
from archfront.trainers.networks.found_weights import OnHub, Resolution
from archfront.trainers.networks.hf.names import is_hub
from archfront.trainers.spec import Weights
from archfront.trainers.words import count_of

# Names that a line shows; the others are counted.
N_SHOWN = 3
N_SHOWN_REASONS = 20


@dataclass(frozen=True)
class FirstWeights:
    """The first weights of a space.

    Attributes:
        weights: By backbone; without a path where they are fetched when a training needs them.
        dropped: The backbones that leave the space, like ``name: reason``.
        notes: How many are at hand, are fetched, or are not to be had, a line each.
    """

    weights: Mapping[str, Weights]
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class _Missing:
    """The backbones without weights, by why there are none."""

    unpublished: dict[str, str] = field(default_factory=dict)
    offline: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)

    def all(self) -> dict[str, str]:
        """Return the reasons by backbone."""
        return {**self.unpublished, **self.offline, **self.others}


def first_weights(
    config: SpaceConfig,
    names: Sequence[str],
    *,
    channels: int,
    begun: WeightsKeys | None = None,
    engine: Engine | None = None,
) -> FirstWeights:
    """Return the first weights of backbones. Only those of transformers' names are downloaded.

    Args:
        config: Options of the space.
        names: The backbones.
        channels: Channels of the images.
        begun: Tags and hashes of the weights that the study began with; None for a new study.
        engine: Where files are compared with their networks, which takes imports of seconds that
            its workers need anyway; this process when None.

    Raises:
        WeightsError: If one has none and ``space.weights_missing`` is ``stop``, or all have none.
    """
    if config.weights == "none":  # nothing to look for, and no need of torch
        return FirstWeights(dict.fromkeys(names, Weights()))
    if begun:
        kept = [name for name in names if name in begun]
        return _as_begun(config, _found(config, kept, channels, engine), kept, begun)
    found = _found(config, names, channels, engine)
    if found.missing and config.weights_missing == "stop":
        raise _stopping(config, found.missing, len(names))
    answers, at_hand = _answers(config, found, channels)
    missing = _sorted(config, found, answers, set(at_hand))
    weights = {name: w for name in names if (w := (at_hand | answers.weights).get(name))}
    if not weights:
        raise _nothing(config, missing, answers.offline, len(names))
    dropped = tuple(f"{name}: {reason}" for name, reason in missing.all().items())
    notes = _notes(config, at_hand, answers, missing, channels)
    return FirstWeights(weights, dropped, tuple(notes))


def _found(
    config: SpaceConfig, names: Sequence[str], channels: int, engine: Engine | None
) -> Resolution:
    """Return the weights that are on this machine."""
    if engine is not None:
        request = WeightsRequest(tuple(names), config.weights, channels)
        result = found_result(engine, Job("weights", request))
        if isinstance(result, Done):
            found: Resolution = result.value
            return found
    from archfront.trainers.networks.weights import resolve

    return resolve(names, config.weights, channels=channels)


def _as_begun(
    config: SpaceConfig, found: Resolution, kept: Sequence[str], begun: WeightsKeys
) -> FirstWeights:
    """Return the weights that a study began with, whether or not they are on this machine now."""
    later = {name: Weights("pretrained", *begun[name]) for name in found.absent}
    weights = {name: w for name in kept if (w := (found.weights | later).get(name))}
    lacking = {n: reason for n, reason in found.missing.items() if n not in later}
    if not weights:
        raise _nothing(config, _Missing(others=lacking), None, len(kept))
    return FirstWeights(weights, tuple(f"{n}: {reason}" for n, reason in lacking.items()))


def _answers(
    config: SpaceConfig, found: Resolution, channels: int
) -> tuple[OnHub, dict[str, Weights]]:
    """Return the hub's answers about absent weights, and the weights that are at hand."""
    at_hand = dict(found.weights)
    if config.weights_missing != "fetch" or not found.absent:
        return OnHub(), at_hand
    from archfront.trainers.networks.hub_files import ask_hub
    from archfront.trainers.networks.weights import fetch, resolve

    answers = ask_hub(name for name in found.absent if not is_hub(name))
    # Preprocessing is a file of its own there, which the space needs at once.
    own = [name for name in found.absent if is_hub(name)]
    if own and answers.offline is None:
        for name in own:
            try:
                fetch([name])
            except WeightsError as error:
                answers.missing[name] = str(error)
        at_hand |= resolve(own, config.weights, channels=channels).weights
    return answers, at_hand


def _sorted(config: SpaceConfig, found: Resolution, answers: OnHub, at_hand: set[str]) -> _Missing:
    """Return the backbones that have no weights in the end."""
    missing = _Missing()
    for name, reason in found.missing.items():
        if name in answers.weights or name in at_hand:
            continue
        if name in found.unpublished:
            missing.unpublished[name] = reason
        elif name in found.absent and answers.offline is not None:
            missing.offline[name] = reason
        else:
            missing.others[name] = answers.missing.get(name, reason)
    return missing


def _notes(
    config: SpaceConfig,
    at_hand: Mapping[str, Weights],
    answers: OnHub,
    missing: _Missing,
    channels: int,
) -> Iterable[str]:
    """Yield how many weights are at hand, are fetched, or are not to be had, a line each."""
    is_pretrained = config.weights == "pretrained"
    place = "in the cache" if is_pretrained else f"in {config.weights}"
    n_at_hand = count_of(len(at_hand), "backbone has its", "backbones have theirs")
    yield f"weights   {n_at_hand} {place}"
    if answers.weights:
        mb = sum(answers.mb.values())
        yield (
            f"          {len(answers.weights)} more when a training needs them: fetched then, "
            f"{mb:,.0f} MB in all"
        )
    for names, why in (
        (missing.unpublished, "nobody publishes any"),
        (missing.offline, f"not in the cache, and {answers.offline}"),
        (missing.others, "not to be had" if is_pretrained else "the folder has none that fit"),
    ):
        if names:
            leave = "leaves" if len(names) == 1 else "leave"
            yield f"          {len(names)} {leave} the space, {why}: {_abbreviated(names)}"
    if channels == 1:
        yield (
            "          their first layer is summed over the colors for grey images (timm's "
            "in_chans)"
        )


def _abbreviated(names: Iterable[str]) -> str:
    every = list(names)
    more = len(every) - N_SHOWN
    return ", ".join(every[:N_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _stopping(config: SpaceConfig, missing: Mapping[str, str], n_names: int) -> WeightsError:
    """Return the error for backbones without weights where none may be left out."""
    shown = [f"  {name}: {reason}" for name, reason in list(missing.items())[:N_SHOWN_REASONS]]
    more = len(missing) - len(shown)
    of = count_of(n_names, "backbone has", "backbones have")
    return WeightsError(
        f"{len(missing)} of {of} no weights (space.weights={config.weights}):\n"
        + "\n".join(shown)
        + (f"\n  and {more} more" if more else "")
        + "\nFetch them with: archfront weights fetch space=... ; leave these backbones out "
        "with space.weights_missing=drop; or train from scratch with space.weights=none."
    )


def _nothing(
    config: SpaceConfig, missing: _Missing, offline: str | None, n_names: int
) -> WeightsError:
    """Return the error for a space in which no backbone has weights, with every way out."""
    none = f"None of {n_names:,} backbones has" if n_names > 1 else "The only backbone has no"
    lines = [f"{none} weights (space.weights={config.weights}), so nothing is left."]
    others = "not to be had" if config.weights == "pretrained" else "not in the folder"
    for names, one, many, why in (
        (missing.offline, "is", "are", f"not in the cache, and {offline}"),
        (missing.unpublished, "has", "have", "none that timm publishes"),
        (missing.others, "is", "are", others),
    ):
        if names:
            lines.append(f"  - {count_of(len(names), one, many)} {why}: {_abbreviated(names)}")
    lines += [f"  - {name}: {why}" for name, why in list(missing.others.items())[:1]]
    if config.weights != "pretrained":
        files = sorted(path.name for path in Path(config.weights).iterdir())
        lines.append(f"  - the folder has {_abbreviated(files) or 'nothing'}")
    fetched = (
        "With a connection, archfront weights fetch downloads those of a space into the hub's "
        "cache."
    )
    given = (
        "Without one, give space.weights=FOLDER, with files of timm's names like "
        "resnet18.a1_in1k.safetensors, and space.backbones=NAMES of them"
    )
    if all(map(is_hub, (*missing.offline, *missing.unpublished, *missing.others))):
        given = (
            "A folder of transformers, as hf:./folder, needs config.json, model.safetensors and "
            "preprocessor_config.json, as save_pretrained of a model and of its image processor "
            "write them"
        )
    scratch = "or train from scratch with space.weights=none."
    return WeightsError("\n".join(lines) + f"\n{fetched} {given}; {scratch}")
