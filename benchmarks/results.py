"""RESULTS.md from ``results/claims.json``: one row a claim.

A claim is an object with the fields of ``Claim``. What nobody wrote down is "not recorded". Its
entry of LOG.md says how it was measured and what else was tried.

    python benchmarks/results.py          # write RESULTS.md
    python benchmarks/results.py --check  # exit with 1 if RESULTS.md is not that of the claims
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
CLAIMS = FOLDER / "results" / "claims.json"
PAGE = FOLDER / "RESULTS.md"
TOP = """\
# Results

Made by `python benchmarks/results.py` from [claims.json](results/claims.json); do not edit.
[LOG.md](LOG.md) says how each claim was measured and what else was tried; each claim links to its
entry. "Not recorded" is what nobody wrote down. A claim whose aim is missed says so.

The machine: 2 virtual cores of an AMD EPYC (Zen 4), 24 GiB, shared with other tenants; torch 2.15,
timm 1.0.31, onnxruntime 1.32, optuna 5.0, mlflow 3.17, Python 3.11. The column of that name says
how much of it was used and what else ran, as far as recorded. The commit is the one that recorded
the result.
"""
COLUMNS = (
    "claim",
    "aim",
    "result",
    "error",
    "seeds",
    "command",
    "commit",
    "date",
    "machine",
    "file",
)


@dataclass(frozen=True)
class Claim:
    """One row.

    Attributes:
        section: Heading above it.
        claim: What was measured.
        command: The command that measures it.
        aim: The value to reach.
        result: The value that was reached.
        error: Its spread, interval or standard error.
        seeds: Seeds, or how often it was repeated.
        commit: The commit that recorded it.
        date: Of that commit.
        machine: How much of the machine, and what else ran.
        file: In this folder, with the details; None without one.
        log: Heading of its entry in LOG.md.
    """

    section: str
    claim: str
    command: str
    aim: str
    result: str
    error: str
    seeds: str
    commit: str
    date: str
    machine: str
    file: str | None
    log: str


def read(path: Path = CLAIMS) -> list[Claim]:
    """Return the claims in their order."""
    return [Claim(**content) for content in json.loads(path.read_text(encoding="utf-8"))]


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def page(claims: Sequence[Claim]) -> str:
    """Return RESULTS.md."""
    lines = [TOP]
    for section, found in groupby(claims, lambda claim: claim.section):
        lines += [f"## {section}", "", _row(COLUMNS), _row(["---"] * len(COLUMNS))]
        lines += [_row(_cells(claim)) for claim in found] + [""]
    return "\n".join(lines).rstrip() + "\n"


def _cells(claim: Claim) -> list[str]:
    name = None if claim.file is None else Path(claim.file).name
    return [
        f"[{claim.claim}](LOG.md#{anchor(claim.log)})",
        claim.aim,
        claim.result,
        claim.error,
        claim.seeds,
        claim.command if _is_words(claim) else f"`{claim.command}`",
        claim.commit,
        claim.date,
        claim.machine,
        "none" if name is None else f"[{name}]({claim.file})",
    ]


def _is_words(claim: Claim) -> bool:
    return claim.command in ("throwaway script", "not recorded")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description="Write RESULTS.md from its claims.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if not current"
    )
    made = page(read())
    if parser.parse_args().check:
        return int(PAGE.read_text(encoding="utf-8") != made)
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
