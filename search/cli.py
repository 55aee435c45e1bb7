"""The command ``archfront``: verbs over the same calls that any program can make."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from archfront.search.errors import ArchfrontError, ConfigError

VERBS = {
    "run": "start a study, or go on with one of the same name",
    "front": "the Pareto front of a study as a table, CSV or JSON",
    "list": "the studies here",
    "show": "one study: its question, its state, its costs",
    "report": "write a study's report and pictures again from its records",
    "delete": "remove a study with its files",
    "ui": "open MLflow's page on the right database",
    "weights": "fetch pretrained weights for a search space",
    "catalog": "every timm architecture and what is known of it before training",
    "latency": "measure, show and move the latencies of this device",
    "advise": "the front to expect, in minutes and without any training",
    "refit": "members of a front trained in full, with several seeds",
    "variants": "members at other sizes, runtimes and precisions, without training",
    "export": "a member of a front as files to deploy, scored and measured again",
    "register": "members of a front as versions of a model in MLflow",
    "predict": "what an exported model says of images",
    "reproduce": "train a trial again from its record, and compare",
}

# Verbs with a file of their own: ``add_arguments(parser)`` and ``call(arguments)``.
OWN_FILES = (
    "catalog",
    "latency",
    "advise",
    "refit",
    "variants",
    "export",
    "register",
    "predict",
    "reproduce",
)
COMMANDS = {name: f"archfront.search.commands.{name}" for name in OWN_FILES}

# Flags whose next word is their value, and so never the verb.
WITH_VALUE = (
    "--cfg",
    "--config",
    "--config-dir",
    "--format",
    "--host",
    "--max-loss",
    "--member",
    "--members",
    "--mlflow-uri",
    "--name",
    "--out",
    "--port",
    "--precisions",
    "--root",
    "--runtimes",
    "--sizes",
    "--storage-url",
    "--trial",
)

TOP = """\
usage: archfront VERB ...

Which architecture is best for your images on your device? archfront trains candidates
within your limits and gives the Pareto front of accuracy against latency.

{verbs}

first steps:
  archfront run experiment=digits                  a whole study in a few minutes
  archfront run data.root=~/flowers hardware.limits.latency_ms=20 study=flowers
  archfront front flowers

'archfront VERB --help' tells more. Studies lie in ./mlruns, or where ARCHFRONT_ROOT says.
"""

RUN = """\
Start a study, or go on with the one of the same name where it stopped.

words are group=name (another yaml file of a group) or group.option=value:
"""

RUN_EXAMPLES = """\
examples:
  archfront run data.root='~/my flowers' hardware.limits.latency_ms=20 budget.minutes=30 \\
      study=flowers
  archfront run study=flowers data.root='~/my flowers' hardware.limits.latency_ms=20 \\
      budget.minutes=60                     # the same study, 30 minutes more
  archfront run data.root=photos space.backbones='resnet*,convnext*' --dry-run
  archfront run experiment=digits --cfg job # the composed configuration

All options with their meaning: docs/options.md, or --cfg job.
"""


def main(words: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status: 0, 1 for an error, 2 for wrong use, 130."""
    words = list(sys.argv[1:] if words is None else words)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_top_help())
        return 0 if words else 2
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"archfront {version('archfront')}")
        return 0
    place = _verb_place(words)
    if words[place] not in VERBS:
        return _unknown_verb(words[place])
    verb = words.pop(place)
    try:
        return _parse_and_call(verb, words)
    except ConfigError as error:
        _complain(_problems(error))
        return 2
    except ArchfrontError as error:
        _complain(str(error))
        return 1
    except KeyboardInterrupt:
        _complain("interrupted")
        return 130
    except BrokenPipeError:  # the reader of our output went away, as head does
        sys.stderr.close()
        return 0
    except OSError as error:  # a full disk, a folder that may not be written
        if error.filename is None:
            raise
        _complain(f"{error.strerror}: {error.filename}")
        return 1


def _parse_and_call(verb: str, words: list[str]) -> int:
    arguments = _parser(verb).parse_intermixed_args(words)
    if getattr(arguments, "verbose", False):
        logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(name)s: %(message)s")
        for noisy in ("matplotlib", "PIL", "urllib3", "fsspec"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
    if verb in COMMANDS:
        status: int = import_module(COMMANDS[verb]).call(arguments)
        return status
    from archfront.search.commands.studies import CALLS

    return CALLS[verb](arguments)


def _parser(verb: str) -> argparse.ArgumentParser:
    """Return the parser of one verb; flags may stand anywhere."""
    parser = argparse.ArgumentParser(
        prog=f"archfront {verb}",
        description=_run_help() if verb == "run" else VERBS[verb].capitalize() + ".",
        epilog=RUN_EXAMPLES if verb == "run" else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if verb in COMMANDS:
        import_module(COMMANDS[verb]).add_arguments(parser)
        return parser
    if verb in ("run", "weights"):
        _add_composition(parser, verb)
        return parser
    if verb not in ("list", "ui"):
        parser.add_argument("study", help="name of the study")
    parser.add_argument(
        "--root", type=Path, help="folder of the studies (default: ARCHFRONT_ROOT, else ./mlruns)"
    )
    if verb != "ui":
        parser.add_argument(
            "--storage-url", help="SQLAlchemy URL, for studies that were run with one"
        )
    if verb == "front":
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="records with every field")
        form.add_argument("--csv", action="store_true", help="the same as comma-separated values")
    if verb in ("list", "show"):
        parser.add_argument("--json", action="store_true", help="as JSON")
    if verb == "delete":
        parser.add_argument("--yes", action="store_true", help="do not ask")
    if verb in ("ui", "delete"):
        parser.add_argument("--mlflow-uri", help="MLflow's store, if it is not in the root")
    if verb == "ui":
        parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
        parser.add_argument("--port", type=int, default=5000, help="port (default: %(default)s)")
    return parser


def _add_composition(parser: argparse.ArgumentParser, verb: str) -> None:
    if verb == "weights":
        parser.add_argument("action", choices=["fetch"], help="download what the space lacks")
    parser.add_argument("words", nargs="*", metavar="word", help="group=name or option=value")
    parser.add_argument(
        "--config-dir",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="folder with your own yaml files, as DIR/data/flowers.yaml",
    )
    if verb == "weights":
        return
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="a composed configuration, as study.yaml"
    )
    parser.add_argument("--cfg", choices=["job"], help="print the composed configuration and end")
    parser.add_argument(
        "--dry-run", action="store_true", help="size, time and disk of the study; trains nothing"
    )
    parser.add_argument("--plain", action="store_true", help="plain lines, no live view")
    parser.add_argument("--verbose", action="store_true", help="log what happens inside")


def _top_help() -> str:
    verbs = "\n".join(f"  {verb:<9} {text}" for verb, text in VERBS.items())
    return TOP.format(verbs=verbs)


def _run_help() -> str:
    """Return what ``run`` does, with the files of every group."""
    from archfront.search.config.compose import GROUPS, choices

    return RUN + "".join(f"  {group}={'|'.join(choices(group))}\n" for group in GROUPS)


def _verb_place(words: list[str]) -> int:
    """Return where the verb stands: flags, and the values of those that take one, may precede."""
    for place, word in enumerate(words):
        is_value = place > 0 and words[place - 1] in WITH_VALUE
        if not word.startswith("-") and not is_value:
            return place
    return 0


def _unknown_verb(word: str) -> int:
    import difflib

    near = difflib.get_close_matches(word, VERBS, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    _complain(f"Unknown verb {word!r}.{hint} Known: {', '.join(VERBS)}.")
    return 2


def _problems(error: ConfigError) -> str:
    if len(error.problems) == 1:
        return error.problems[0]
    lines = "\n".join(f"  {number}. {p}" for number, p in enumerate(error.problems, 1))
    return f"{len(error.problems)} problems in the configuration:\n{lines}"


def _complain(text: str) -> None:
    print(f"archfront: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
