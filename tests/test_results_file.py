"""RESULTS.md is that of its claims, and every claim and citation leads to an entry of LOG.md."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
import results

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks"
CLAIMS = results.read()
LOG = (FOLDER / "LOG.md").read_text(encoding="utf-8")
ENTRIES = re.findall(r"^## (.+)$", LOG, re.MULTILINE)
# How code cites an entry: its heading without the date.
CITATION = re.compile(r'LOG\.md,[\s#]+"([^"]+)"')


def test_results_md_is_current() -> None:
    assert (FOLDER / "RESULTS.md").read_text(encoding="utf-8") == results.page(CLAIMS)


def test_results_md_stays_short() -> None:
    assert len(results.page(CLAIMS).splitlines()) <= 150


def test_a_row_has_every_cell() -> None:
    rows = [line for line in results.page(CLAIMS).splitlines() if line.startswith("| [")]
    assert len(rows) == len(CLAIMS)
    assert {row.count(" | ") for row in rows} == {len(results.COLUMNS) - 1}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.claim[:40])
def test_a_claim_is_whole(claim: results.Claim) -> None:
    texts = [value for name, value in vars(claim).items() if name != "file"]
    assert all(texts)
    assert claim.log in ENTRIES
    assert claim.file is None or (FOLDER / claim.file).is_file()
    assert re.fullmatch(r"[0-9a-f]{7}", claim.commit)
    assert claim.commit in LOG
    assert date.fromisoformat(claim.date) <= date.fromisoformat(claim.log[-11:-1])


def test_the_log_is_newest_first() -> None:
    dates = [date.fromisoformat(entry[-11:-1]) for entry in ENTRIES]
    assert dates == sorted(dates, reverse=True)
    assert len(set(ENTRIES)) == len(ENTRIES)


def test_what_code_cites_of_the_log_is_there() -> None:
    names = {entry.rsplit(" (", 1)[0] for entry in ENTRIES}
    cited = {
        (str(file.relative_to(ROOT)), re.sub(r"\s+#?\s*", " ", heading))
        for part in ("search", "trainers")
        for file in (ROOT / part).rglob("*.py")
        for heading in CITATION.findall(file.read_text(encoding="utf-8"))
    }
    assert {(file, heading) for file, heading in cited if heading not in names} == set()
