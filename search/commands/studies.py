"""What each verb of the command does; the only place that prints, beside ``cli``."""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from archfront.search.errors import ConfigError, StudyError
from archfront.search.records.evaluation import Trained
from archfront.search.records.paths import StudyPaths, default_root, existing, studies
from archfront.search.records.store import is_driven, reading, remove
from archfront.search.results.results import Results
from archfront.trainers.words import count_of

# Columns of a table that is not shown in a terminal.
WIDTH = 140


def run(arguments: argparse.Namespace) -> int:
    """Run a study, or say what it would be."""
    from archfront.search.config import compose
    from archfront.search.config.build import build

    if arguments.config is not None and arguments.config_dir:
        raise ConfigError("--config and --config-dir: a composed configuration has no groups.")
    if arguments.config is not None:
        composed = compose.load(arguments.config, arguments.words)
    else:
        composed = compose.compose(arguments.words, config_dirs=arguments.config_dir)
    config = build(composed.content, texts=composed.texts)
    if arguments.cfg:
        import yaml

        print(yaml.safe_dump(config.as_dict(), sort_keys=False), end="")
        return 0
    if arguments.dry_run:
        from archfront.search.study import estimate

        for line in estimate.lines(config):
            print(line)
        return 0
    from archfront.search.commands.launch import launch

    return launch(config, _console(), is_plain=arguments.plain)


def front(arguments: argparse.Namespace) -> int:
    """Print the front of a study."""
    from archfront.search.report.terminal import front_table

    results = _results(arguments)
    rows = results.rows()
    if arguments.json:
        print(json.dumps(rows, indent=2))
    elif arguments.csv:
        flat = [{k: _cell(v) for k, v in row.items()} for row in rows]
        names = list(flat[0]) if flat else ["trial"]
        writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
    elif not rows:
        print(f"The study {arguments.study!r} has no trained candidate yet.")
    else:
        metric = results.objectives[0].name
        _console().print(front_table(results.front(), metric, results.scores))
    return 0


def list_studies(arguments: argparse.Namespace) -> int:
    """Print the studies of a root."""
    root = _root(arguments)
    summaries = [_summary(arguments, root, name) for name in studies(root)]
    if arguments.json:
        print(json.dumps(summaries, indent=2))
        return 0
    if not summaries:
        print(f"There is no study in {root}. archfront run study=NAME ... starts one.")
        return 0
    table = Table(title=Text(f"Studies in {root}"), title_justify="left")
    # One that cannot be read has fewer values, one with rungs more.
    fullest = sorted(summaries, key=len, reverse=True)
    names = list(dict.fromkeys(name for summary in fullest for name in summary))
    for name in names:
        table.add_column(name)
    for summary in summaries:
        values = [summary.get(name) for name in names]
        table.add_row(*(Text("" if v is None else str(v)) for v in values))
    _console().print(table)
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Print one study."""
    from archfront.search.report.terminal import question
    from archfront.trainers.words import duration

    results = _results(arguments)
    places, header = results.places, results.header
    if arguments.json:
        content = {
            "study": places.study,
            "state": _state(results),
            "reason": results.reason,
            "counts": results.counts(),
            "seconds": results.seconds(),
            "folder": str(places.folder),
            "header": header,
            "front": results.rows(),
        }
        print(json.dumps(content, indent=2))
        return 0
    lines = [f"study     {places.study}", f"state     {_state(results)}: {results.reason}"]
    if header:
        lines += question(header)
    counts = ", ".join(f"{count} {kind}" for kind, count in results.counts().items())
    costs = ", ".join(f"{duration(s)} {name}" for name, s in results.seconds().items())
    lines += [f"trials    {counts}", f"costs     {costs}", f"folder    {places.folder}"]
    for line in lines:
        _console().print(Text(line), soft_wrap=True)
    return 0


def report(arguments: argparse.Namespace) -> int:
    """Write the report and the pictures of a study again."""
    from archfront.search.report import pages

    results = _results(arguments)
    if not results.header:
        raise StudyError(f"The study {arguments.study!r} has no records yet, so no report.")
    os.environ.setdefault("MPLCONFIGDIR", str(results.places.matplotlib))
    for path in pages.write(results):
        print(path)
    return 0


def delete(arguments: argparse.Namespace) -> int:
    """Remove a study with its files, its rows in MLflow and in a database."""
    places = existing(_root(arguments), arguments.study)
    if is_driven(places):
        raise StudyError(f"The study {places.study!r} is being run; end that first.")
    url = _url(arguments)
    results = Results.read(reading(places, url), places)
    n_trials = sum(results.counts().values())
    _check_runs_known(results, arguments.mlflow_uri)
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise StudyError(
                f"Deleting {places.study!r} would remove {count_of(n_trials, 'trial')} in "
                f"{places.folder} for good. Say --yes."
            )
        answer = input(f"Remove {count_of(n_trials, 'trial')} in {places.folder}? [y/N] ")
        if answer.strip().lower() not in ("y", "yes"):
            print("Nothing was removed.")
            return 1
    n_runs = _remove_runs(results, arguments.mlflow_uri)
    remove(places, url)
    shutil.rmtree(places.folder)
    removed = f"{count_of(n_trials, 'trial')}, {count_of(n_runs, 'MLflow run')}"
    print(f"Removed {places.study}: {removed}.")
    return 0


def _check_runs_known(results: Results, uri: str | None) -> None:
    """Raise unless it is known where the study's MLflow runs are."""
    stored = results.header.get("config", {}).get("tracking", {}).get("mlflow_uri")
    if stored is not None and uri is None:
        raise StudyError(
            f"The study {results.places.study!r} keeps its runs in {stored}. Give --mlflow-uri, "
            "so that they are removed too."
        )


def _remove_runs(results: Results, uri: str | None) -> int:
    """Remove the study's runs from MLflow and return how many there were."""
    is_there = uri is not None or (results.places.root / "mlflow.db").is_file()
    if not results.header or not is_there:
        return 0
    from archfront.search.tracking.tracker import Tracker

    experiment = results.header["config"]["tracking"]["experiment"]
    return Tracker(results.places, uri, experiment).remove(results.header["id"])


def ui(arguments: argparse.Namespace) -> int:
    """Become MLflow's own server on the database of a root."""
    root = _root(arguments)
    if arguments.mlflow_uri is None and not (root / "mlflow.db").is_file():
        raise StudyError(
            f"There is no MLflow database in {root}. Run a study first, or give --root."
        )
    from archfront.search.tracking.tracker import default_uri

    uri = arguments.mlflow_uri or default_uri(root)
    print(f"MLflow on {uri}: http://{arguments.host}:{arguments.port}  (Ctrl-C ends it)")
    sys.stdout.flush()
    options = ["--backend-store-uri", uri, "--host", arguments.host, "--port", arguments.port]
    command = [sys.executable, "-m", "mlflow", "ui", *map(str, options)]
    os.execv(sys.executable, command)


def weights(arguments: argparse.Namespace) -> int:
    """Fetch the pretrained weights of a space."""
    from archfront.search.config import compose
    from archfront.search.config.build import build
    from archfront.search.prepare.select_backbones import select

    words = [*arguments.words]
    if not any(word.startswith(("data.root=", "data=", "experiment=")) for word in words):
        words.append("data=shapes")  # which weights there are does not depend on the data
    composed = compose.compose(words, config_dirs=arguments.config_dir)
    config = build(composed.content, texts=composed.texts)
    from archfront.trainers.networks.hf.names import is_hub
    from archfront.trainers.networks.weights import fetch

    # The configuration of a repository that was never fetched is not known before.
    names = [name for name in config.space.backbones if is_hub(name)]
    others = tuple(name for name in config.space.backbones if not is_hub(name))
    if others:
        names += [row.name for row in select(replace(config.space, backbones=others))]
    print(count_of(len(names), "backbone"))
    fetch(names, on_fetched=lambda name, path: print(f"{name}: {path}", flush=True))
    return 0


def _results(arguments: argparse.Namespace) -> Results:
    places = existing(_root(arguments), arguments.study)
    return Results.read(reading(places, _url(arguments)), places)


def _summary(arguments: argparse.Namespace, root: Path, name: str) -> dict[str, Any]:
    places = StudyPaths(root, name)
    try:
        results = Results.read(reading(places, _url(arguments)), places)
    except StudyError as error:
        return {"study": name, "state": f"unreadable: {str(error).splitlines()[0]}"}
    trained = [
        e.outcome.metric
        for e in results.evaluations
        if e.is_top and isinstance(e.outcome, Trained)
    ]
    started = results.header.get("started")
    return {
        "study": name,
        "state": _state(results),
        **results.counts(),
        "best": f"{max(trained):.4f}" if trained else None,
        "metric": results.objectives[0].name if results.header else None,
        "started": started and time.strftime("%Y-%m-%d %H:%M", time.localtime(started)),
    }


def _state(results: Results) -> str:
    """Return the state in words; a study that says it runs and is not driven was killed."""
    if results.state == "running" and not is_driven(results.places):
        return "stopped"
    return results.state


def _root(arguments: argparse.Namespace) -> Path:
    root: Path | None = arguments.root
    return default_root() if root is None else root.expanduser().absolute()


def _url(arguments: argparse.Namespace) -> str | None:
    return arguments.storage_url or os.environ.get("ARCHFRONT_STORAGE_URL")


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


CALLS = {
    "run": run,
    "front": front,
    "list": list_studies,
    "show": show,
    "report": report,
    "delete": delete,
    "ui": ui,
    "weights": weights,
}
