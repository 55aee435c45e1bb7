"""The command ``archfront``: finds the verb among the words and calls its file."""

from __future__ import annotations

import argparse
import difflib
import logging
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import ModuleType

from archfront.search.commands.consoles import echo
from archfront.search.errors import ArchfrontError, ConfigError
from archfront.trainers.machine import machine_failure

# Each is a file of ``commands``, which is imported only when the verb is used.
VERBS = {
    "run": "start a study, or go on with one of the same name",
    "front": "the Pareto front of a study as a table, CSV or JSON",
    "list": "the studies here",
    "show": "one study: its configuration, its state, its costs",
    "report": "write a study's report and plots again from its records",
    "delete": "remove a study with its files",
    "ui": "open MLflow's page on the right database",
    "serve": "an HTTP API and a page over the studies here, for a team",
    "watch": "the progress of a study on a server, as it happens",
    "weights": "fetch pretrained weights for a search space",
    "catalog": "every timm architecture, with what is known of it before training",
    "latency": "measure, show and move the latencies of this device",
    "cluster": "the nodes of a cluster or a queue, and whether a study can use them",
    "profile": "what a dataset is like, and what is wrong with it",
    "advise": "the front to expect, in minutes and without any training",
    "refit": "members of a front trained in full, with several seeds",
    "variants": "members at other sizes, runtimes and precisions, without training",
    "export": "a member of a front as files to deploy, scored and measured again",
    "register": "members of a front as versions of a model in MLflow",
    "predict": "the answers of an exported model to images",
    "reproduce": "train a trial again from its record, and compare",
}

TOP = """\
usage: archfront VERB ...

Which architecture is best for your images on your device? archfront trains candidates
within your limits and gives the Pareto front of accuracy against latency.

{verbs}

first steps:
  archfront run experiment=digits                  a whole study in a few minutes
  archfront run data.root=~/flowers hardware.limits.latency_ms=20 study=flowers
  archfront front flowers

'archfront VERB --help' says more. Studies lie in ./mlruns, or where ARCHFRONT_ROOT says.
"""


def main(words: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status: 0, 1 for an error, 2 for wrong use, 130."""
    words = list(sys.argv[1:] if words is None else words)
    if not words or words[0] in ("-h", "--help", "help"):
        echo(_top_help())
        return 0 if words else 2
    if words[0] == "--version":
        from importlib.metadata import version

        echo(f"archfront {version('archfront')}")
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
    except BrokenPipeError:  # the reader of the output went away, like head
        sys.stderr.close()
        return 0
    except Exception as error:
        reason = _reason(error)
        if reason is None:  # a mistake of archfront
            raise
        _complain(reason)
        return 1


def _reason(error: Exception) -> str | None:
    """Return in words what the machine lacks, or which file may not be used; None for neither."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if isinstance(error, OSError) and error.filename is not None:
        said = f"{error.strerror}: {error.filename}"
    failure = machine_failure(error)
    if failure is not None:
        return f"{failure.cause}: {said.rstrip('.')}. {failure.remedy}"
    return said if isinstance(error, OSError) and error.filename is not None else None


def _parse_and_call(verb: str, words: list[str]) -> int:
    parser = _parser(verb)
    arguments, others = parser.parse_known_intermixed_args(words)
    if others:
        flags = [word for word in others if word.startswith("-") or "=" in word]
        raise ConfigError(*(_unknown_word(verb, word, parser) for word in flags or others))
    if getattr(arguments, "verbose", False):
        logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(name)s: %(message)s")
        for noisy in ("matplotlib", "PIL", "urllib3", "fsspec"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
    status: int = _command(verb).call(arguments)
    return status


def _unknown_word(verb: str, word: str, parser: argparse.ArgumentParser) -> str:
    """Return in words that a verb does not take a word, with the flag that may be meant."""
    flags = sorted(flag for flag in parser._option_string_actions if flag.startswith("--"))
    flag, equals, value = word.partition("=")
    option = f"--{flag.rpartition('.')[2].replace('_', '-')}"  # of tracking.root=FOLDER too
    if equals and option in flags:
        return f"{word}: archfront {verb} takes flags, so write {option} {value}."
    near = difflib.get_close_matches(flag if flag.startswith("-") else f"--{flag}", flags, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"{word}: archfront {verb} takes no such word.{hint} archfront {verb} --help has all."


def _command(verb: str) -> ModuleType:
    """Return the module of a verb, with its ``add_arguments`` and ``call``."""
    return import_module(f"archfront.search.commands.{verb}")


def _parser(verb: str) -> argparse.ArgumentParser:
    """Return the parser of one verb; flags may stand anywhere."""
    parser = argparse.ArgumentParser(
        prog=f"archfront {verb}",
        description=f"{VERBS[verb][0].upper()}{VERBS[verb][1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _command(verb).add_arguments(parser)
    return parser


def _top_help() -> str:
    verbs = "\n".join(f"  {verb:<9} {text}" for verb, text in VERBS.items())
    return TOP.format(verbs=verbs)


def _verb_place(words: Sequence[str]) -> int:
    """Return where the verb stands, before which may be flags of its own with their values.

    The name of a verb may be the value of a flag, as in ``--root list front flowers``: the verb is
    the first one whose own parser takes all words before it as flags. Where there is none, the
    first word is returned that neither is a flag nor the value of a flag of any verb.
    """
    if not words[0].startswith("-"):
        return 0
    for place, word in enumerate(words):
        if word in VERBS and _are_flags(words[:place], _n_values(word)):
            return place
    n_values = {flag: n for verb in VERBS for flag, n in _n_values(verb).items()}
    place = 0
    while place < len(words) and words[place].startswith("-"):
        place += 1 + n_values.get(words[place], 0)
    return min(place, len(words) - 1)


def _are_flags(words: Sequence[str], n_values: Mapping[str, int]) -> bool:
    """Return whether words are known flags, each with its values, and nothing else."""
    place = 0
    while place < len(words):
        flag, equals, _ = words[place].partition("=")
        if flag not in n_values:
            return False
        place += 1 if equals else 1 + n_values[flag]
    return place == len(words)


def _n_values(verb: str) -> dict[str, int]:
    """Return the flags of a verb with the number of words that follow each as its values."""
    actions = _parser(verb)._option_string_actions
    return {flag: 1 if a.nargs is None else int(a.nargs) for flag, a in actions.items()}


# Verbs of other programs, by those that do the same here.
ELSEWHERE = {"remove": "delete", "rm": "delete", "ls": "list", "train": "run", "resume": "run"}
ELSEWHERE |= {"bench": "latency", "benchmark": "latency", "measure": "latency", "infer": "predict"}


def _unknown_verb(word: str) -> int:
    near = difflib.get_close_matches(word, VERBS, n=1)
    near = [ELSEWHERE[word]] if word in ELSEWHERE else near
    hint = f" Did you mean {near[0]}?" if near else ""
    _complain(f"Unknown verb {word!r}.{hint} Known: {', '.join(VERBS)}.")
    return 2


def _problems(error: ConfigError) -> str:
    if len(error.problems) == 1:
        return error.problems[0]
    lines = "\n".join(f"  {number}. {p}" for number, p in enumerate(error.problems, 1))
    return f"{len(error.problems)} problems in the configuration:\n{lines}"


def _complain(text: str) -> None:
    echo(f"archfront: {text}", to_stderr=True)


if __name__ == "__main__":
    sys.exit(main())
