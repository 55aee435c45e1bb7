"""The rules of a configuration about several options together, or about this machine."""

from __future__ import annotations

from collections.abc import Callable

from archfront.search.config import data_rules, engine_rules
from archfront.search.config.hidden_urls import URLS, is_hidden
from archfront.search.config.metric_names import tasks_with
from archfront.search.config.option_types import AUTO
from archfront.search.config.schema import Config
from archfront.search.errors import ConfigError, unknown
from archfront.search.latency.device import affinity_problem
from archfront.search.latency.energy import METERS
from archfront.search.records.storage_urls import STORAGE_VARIABLE
from archfront.search.runtimes import PRECISIONS, RUNTIMES
from archfront.trainers.networks.hf.names import is_hub
from archfront.trainers.spec import PLAIN_LOSS
from archfront.trainers.tasks import TASKS
from archfront.trainers.words import quoted

# File systems end at 255 bytes, of which a letter can take four.
NAME_LENGTH = 60


def is_study_name(name: str) -> bool:
    """Return whether a study may have a name, which names its folder."""
    is_plain = name[:1].isalnum() and all(c.isalnum() or c in "._-" for c in name)
    return is_plain and len(name) <= NAME_LENGTH


def _study_name(config: Config) -> list[str]:
    name = config.study
    if is_study_name(name):
        return []
    return [
        "study: a study's name starts with a letter or digit and has only letters, digits, "
        f"'.', '_' and '-', {NAME_LENGTH} at most, since it names a folder; got {quoted(name)}."
    ]


def _split(config: Config) -> list[str]:
    data = config.data
    parts = {"data.train": data.train, "data.val": data.val, "data.test": data.test}
    problems = [
        f"{path}: every split but test needs images; got 0. Give a share below 1 or a number."
        for path, value in list(parts.items())[:2]
        if value == 0
    ]
    problems += [
        f"{path}: a number of images is whole; got {value:g}. Shares lie below 1."
        for path, value in parts.items()
        if value > 1 and value != int(value)
    ]
    shares = [value for value in parts.values() if value < 1]
    if sum(shares) > 1 + 1e-9:
        problems.append(
            "data.train, data.val, data.test: the shares add up to at most 1; "
            f"got {' + '.join(f'{v:g}' for v in shares)} = {sum(shares):g}."
        )
    return problems


def _freeze(config: Config) -> list[str]:
    freeze = config.space.recipe.freeze
    if config.space.weights == "none" and freeze != AUTO and True in freeze:
        return [
            "space.recipe.freeze: a frozen backbone needs weights; got freeze true with "
            "space.weights=none. Use space.weights=pretrained or a folder, or freeze=[false]."
        ]
    return []


def _layer_decay(config: Config) -> list[str]:
    given, space = config.space.recipe.layer_decay, config.space
    if given == AUTO or set(given) == {1.0}:
        return []
    ways = "Use space.recipe.layer_decay=[1.0]"
    got = f"got {', '.join(f'{value:g}' for value in given)}"
    problems = []
    if space.weights == "none":
        problems.append(f"lower layers learn less where they have weights; {got} without")
    if not TASKS[config.task.name].is_image_level:
        problems.append(f"it is for labels of images; {got} with task={config.task.name}")
    if any(is_hub(name) for name in space.backbones):
        problems.append(f"it takes the layers that timm names; {got} with networks of the hub")
    return [f"space.recipe.layer_decay: {problem}. {ways}." for problem in problems]


def _probe(config: Config) -> list[str]:
    if config.task.init != "probe":
        return []
    if not TASKS[config.task.name].is_image_level:
        return [
            f"task.init: a head is solved for labels of images only; got probe with task="
            f"{config.task.name}. Use task.init=auto."
        ]
    if config.space.weights == "none":
        return [
            "task.init: a head is solved on the features of first weights; got probe with "
            "space.weights=none. Use space.weights=pretrained or a folder, or task.init=auto."
        ]
    return []


def _budget(config: Config) -> list[str]:
    if config.budget.trials is None and config.budget.minutes is None:
        return ["budget: a study needs an end; got neither. Give budget.trials or budget.minutes."]
    return []


def _folds(config: Config) -> list[str]:
    if config.budget.folds == 1:
        return [
            "budget.folds: a network is trained on all folds but one, so there are two at least, "
            "or 0 for none; got 1. Use budget.folds=5 or budget.folds=0."
        ]
    return []


def _rungs(config: Config) -> list[str]:
    rungs, epochs = config.budget.rungs, config.task.epochs
    if not rungs or (list(rungs) == sorted(rungs) and epochs in (rungs[-1], "auto")):
        return []
    epochs = rungs[-1] if epochs == "auto" else epochs
    fitting = f"[{max(1, epochs // 3)}, {epochs}], " if epochs > 1 else ""
    return [
        f"budget.rungs: rungs rise up to task.epochs={epochs}; got {list(rungs)}. Give them as "
        f"{fitting}[] for full trainings only, or null."
    ]


def _runtime_names(config: Config) -> list[str]:
    hardware = config.hardware  # an imported device has names of its own, known to its table
    names = {
        "runtime": (hardware.runtime, RUNTIMES),
        "precision": (hardware.precision, PRECISIONS),
    }
    if hardware.device is not None:
        return []
    return [
        f"hardware.{what}: {unknown(what, name, known)}"
        for what, (name, known) in names.items()
        if name not in known
    ]


def _precision(config: Config) -> list[str]:
    hardware = config.hardware
    runtime = RUNTIMES.get(hardware.runtime)
    if hardware.device is not None or runtime is None or hardware.precision not in PRECISIONS:
        return []
    if hardware.precision in runtime.precisions:
        return []
    having = [name for name, other in RUNTIMES.items() if hardware.precision in other.precisions]
    return [
        f"hardware.precision: the runtime {runtime.name!r} has {' and '.join(runtime.precisions)};"
        f" got {quoted(hardware.precision)}, which {', '.join(having)} "
        f"{'has' if len(having) == 1 else 'have'}."
    ]


def _metric(config: Config) -> list[str]:
    metric, known = config.task.metric, TASKS[config.task.name].metrics
    if metric in (AUTO, *known):
        return []
    others = tasks_with(metric)
    hint = f" It is a metric of {' and '.join(f'task={name}' for name in others)}."
    return [f"task.metric: {unknown('metric', metric, known)}{hint if others else ''}"]


def _loss(config: Config) -> list[str]:
    loss, known = config.task.loss, TASKS[config.task.name].losses
    return [] if loss in known else [f"task.loss: {unknown('loss', loss, known)}"]


def _recipe_loss(config: Config) -> list[str]:
    given, known = config.space.recipe.loss, TASKS[config.task.name].balances
    asked = () if given == AUTO else given
    problems = [
        f"space.recipe.loss: the losses of task={config.task.name} can be {', '.join(known)}; "
        f"got {loss}."
        for loss in asked
        if loss not in known
    ]
    if config.task.class_weights != "none" and any(loss != PLAIN_LOSS for loss in asked):
        problems.append(
            "space.recipe.loss: the weights of classes come from it or from task.class_weights; "
            f"got {', '.join(asked)} with task.class_weights={config.task.class_weights}. Use "
            "task.class_weights=none or space.recipe.loss=[plain]."
        )
    return problems


def _heads(config: Config) -> list[str]:
    task = TASKS[config.task.name]
    others = [head for head in config.space.heads if head not in task.heads]
    having = [name for name, one in TASKS.items() if set(others) <= set(one.heads)]
    if len(others) == len(config.space.heads) and having:
        space = "small" if task.is_image_level else config.task.name
        belong = "belongs" if len(others) == 1 else "belong"
        return [
            f"space.heads: {', '.join(others)} {belong} to task={' or task='.join(having)}, and "
            f"the task is {config.task.name!r}, which has {', '.join(task.heads)}. Give the task, "
            f"or space={space}, or space.heads=NAMES."
        ]
    return [f"space.heads: {unknown('head', head, task.heads)}" for head in others]


def _decoder_shapes(config: Config) -> list[str]:
    task, space = TASKS[config.task.name], config.space
    sizes = () if space.input_sizes == AUTO else space.input_sizes
    problems: dict[str, None] = {}
    for head in space.heads:
        if head in task.heads:
            refused = task.grid(head).refused(
                widths=space.widths, depths=space.depths, sizes=sizes
            )
            way = f"Give others, or leave {head} out of space.heads."
            problems |= dict.fromkeys(
                f"space.{option}: {head} {why}. {way}" for option, why in refused.items()
            )
    return list(problems)


def _hidden_password(config: Config) -> list[str]:
    urls = {name: getattr(config.tracking, name) for name in URLS}
    return [
        f"tracking.{name}: a stored configuration hides passwords; got {url!r}. Give "
        f"tracking.{name}=URL with the real one, or set {STORAGE_VARIABLE} to it."
        for name, url in urls.items()
        if is_hidden(url)
    ]


def _affinity(config: Config) -> list[str]:
    hardware = config.hardware
    if hardware.device is not None or hardware.affinity is None:
        return []
    problem = affinity_problem(hardware.affinity)
    return [] if problem is None else [f"hardware.affinity: {problem}"]


def _throughput(config: Config) -> list[str]:
    hardware = config.hardware
    if (
        hardware.device is not None
        or hardware.throughput_batch is not None
        or "throughput_ips" not in config.objectives
    ):
        return []
    return [
        "objectives: throughput_ips is measured at hardware.throughput_batch, which is null. Give "
        "hardware.throughput_batch=32 or another number."
    ]


def _energy(config: Config) -> list[str]:
    hardware = config.hardware
    where = ["objectives"] if "energy_mj" in config.objectives else []
    where += ["hardware.limits.energy_mj"] if hardware.limits.energy_mj is not None else []
    runtime = RUNTIMES.get(hardware.runtime)
    if hardware.device is not None or runtime is None or not where:
        return []
    try:
        METERS[runtime.runs_on]()
    except ConfigError as error:
        return [f"{' and '.join(where)}: {error}"]
    return []


# Each rule with the options that it reads: without a value of one of them it has nothing to say.
RULES: dict[Callable[[Config], list[str]], tuple[str, ...]] = {
    _study_name: ("study",),
    data_rules.data_source: ("data.reader", "data.name", "data.root"),
    _split: ("data.train", "data.val", "data.test"),
    _freeze: ("space.weights", "space.recipe.freeze"),
    _layer_decay: (
        "task.name",
        *(f"space.{name}" for name in ("weights", "backbones", "recipe.layer_decay")),
    ),
    _probe: ("task.name", "task.init", "space.weights"),
    _budget: ("budget.trials", "budget.minutes"),
    _folds: ("budget.folds",),
    _rungs: ("budget.rungs", "task.epochs"),
    _runtime_names: ("hardware.device", "hardware.runtime", "hardware.precision"),
    _precision: ("hardware.device", "hardware.runtime", "hardware.precision"),
    _metric: ("task.name", "task.metric"),
    _loss: ("task.name", "task.loss"),
    _recipe_loss: ("task.name", "task.class_weights", "space.recipe.loss"),
    _heads: ("task.name", "space.heads"),
    _decoder_shapes: (
        "task.name",
        *(f"space.{name}" for name in ("heads", "widths", "depths", "input_sizes")),
    ),
    data_rules.target: ("task.name", "data.reader"),
    data_rules.torchvision_name: ("data.reader", "data.name"),
    data_rules.unread_options: ("data.reader", *(f"data.{name}" for name in data_rules.NOT_GIVEN)),
    data_rules.group: ("data.group", "data.reader"),
    data_rules.palette: ("data.palette", "data.ignore_index", "data.classes"),
    data_rules.tiles: ("task.name", "data.tiles"),
    data_rules.shapes: (
        "task.name",
        "data.reader",
        *(f"data.shapes.{part}_{end}" for part in ("objects", "share") for end in ("min", "max")),
    ),
    engine_rules.workers: ("engine.name", "engine.workers"),
    engine_rules.cluster: (
        "engine.name",
        *(f"engine.{name}" for name in engine_rules.CLUSTER_OPTIONS),
    ),
    engine_rules.gpus: (
        *("engine.name", "engine.workers", "engine.cluster", "engine.gpus"),
        "engine.gpu_memory_gb",
    ),
    engine_rules.sbatch: ("engine.sbatch",),
    _hidden_password: tuple(f"tracking.{name}" for name in URLS),
    _affinity: ("hardware.device", "hardware.affinity"),
    _throughput: ("hardware.device", "hardware.throughput_batch", "objectives"),
    _energy: (
        *("hardware.device", "hardware.runtime", "hardware.limits.energy_mj"),
        "objectives",
    ),
}
