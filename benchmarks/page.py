"""How quick the page of the service is with a study of thousands of trials, in a real browser.

Writes a made-up study through the real storage, serves it and opens it in Chromium (Playwright;
see CONTRIBUTING.md). Prints the seconds until the front, its 10,000 marks and the table can be
used, the milliseconds of a step of the slider over the study's time, and the seconds from a
trial's record to the page that shows it. Aims, in a quiet hour on two cores: 1 s, 50 ms, 0.5 s.
Beside them stands the processor time of the server and of the browser, which says something on a
machine that is busy, too: that of the server has the recording of trials in it.

    python benchmarks/page.py [--trials 10000] [--events 5]
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import optuna
import psutil
from made_up_studies import OBJECTIVES, record, write

from archfront.search.records.events import EventLog, TrialFinished
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import driving
from tests.support.browser import browsed, launched, served

NAME = "many"
# Moves of the slider whose time is taken.
MOVES = 20
# Moves the slider and waits for the frame after it.
SLIDER = """async () => {
  const slider = document.getElementById("study-time"), taken = [];
  for (let i = 1; i <= %d; i++) {
    slider.value = i * 1000 / %d;
    const begun = performance.now();
    slider.dispatchEvent(new Event("input"));
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    taken.push(performance.now() - begun);
  }
  return taken;
}"""


class Spent:
    """The processor time of the server, which is this process, and of the browser."""

    def __init__(self) -> None:
        self._before = self._now()

    def text(self, times: int = 1) -> str:
        """Return what was spent since the last call, of so many times one."""
        now, before = self._now(), self._before
        self._before = now
        server, browser = (1000 * (b - a) / times for a, b in zip(before, now, strict=True))
        return f"processor time: server {server:.0f} ms, browser {browser:.0f} ms"

    def _now(self) -> tuple[float, float]:
        browser = 0.0
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                used = child.cpu_times()
                browser += used.user + used.system if "chrom" in child.name() else 0.0
        return time.process_time(), browser


def opened(page: Any, address: str, n_trials: int) -> float:
    """Return the seconds until a study can be used, of an address that is opened."""
    begun = time.perf_counter()
    page.goto(f"{address}studies/{NAME}")
    page.wait_for_selector(".member")
    wait_until_shown(page, n_trials)
    return time.perf_counter() - begun


def wait_until_shown(page: Any, n_trials: int) -> None:
    """Wait until the table of a page has so many trials."""
    page.locator("#trial-table > p").filter(has_text=f"{n_trials:,} trials").wait_for()


def main() -> int:
    """Write, serve and time a study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=5)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = StudyPaths(Path(folder), NAME)
        begun = time.perf_counter()
        write(paths, options.trials, rng)
        print(f"written   {options.trials:,} trials in {time.perf_counter() - begun:.0f} s")
        with (
            driving(paths, None, OBJECTIVES) as store,
            served(paths.root) as (address, token),
            launched() as browser,
            browsed(browser) as page,
        ):
            page.goto(f"{address}login#{token}")
            page.wait_for_selector("#studies .row .figure-knee b")  # the study has been read
            spent = Spent()
            first_s = opened(page, address, options.trials)
            print(f"usable    {first_s:.2f} s after the address was opened; {spent.text()}")
            page.wait_for_selector("#growth:not([hidden])")  # what it asks for besides
            spent.text()
            moves_ms = page.evaluate(SLIDER % (MOVES, MOVES))
            moves = f"{median(moves_ms):.0f} ms a move, at most {max(moves_ms):.0f}"
            print(f"slider    {moves}; {spent.text(MOVES)}")
            tell, waits_s = EventLog(paths.events), []
            for n_more in range(1, options.events + 1):
                begun = time.perf_counter()
                tell(TrialFinished(record(store, rng)))
                wait_until_shown(page, options.trials + n_more)
                waits_s.append(time.perf_counter() - begun)
            print(f"event     {median(waits_s):.2f} s until it is shown, at most "
                  f"{max(waits_s):.2f}; {spent.text(options.events)}")  # fmt: skip
    is_good = first_s <= 1 and median(moves_ms) <= 50 and median(waits_s) <= 0.5
    print("aims met" if is_good else "AIM MISSED: 1 s, 50 ms and 0.5 s")
    return 0 if is_good else 1


if __name__ == "__main__":
    raise SystemExit(main())
