"""What the command answered, remembered by its words, so that it need not be composed again.

To compose and check a configuration takes longer than to ask the times of ten thousand files. An
answer holds while the words, the working folder, archfront's own files and all files of the data
are as they were. Whatever goes wrong with the disk only costs time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archfront.search.profile.data_fingerprint import deciding, decoders, files_at, hashed
from archfront.search.profile.dataset_profile import VERSION, DatasetProfile
from archfront.search.records.codec import encode, restored
from archfront.search.records.paths import cache_file
from archfront.trainers.files import keep_latest, write_whole

if TYPE_CHECKING:
    from archfront.trainers.data.ref import DataRef

logger = logging.getLogger(__name__)

# Answers that are kept; the least recently used go first.
KEPT = 200
# Variables, and the beginning of others, that a configuration may depend on.
VARIABLES, PREFIX = ("HOME", "XDG_CACHE_HOME"), "ARCHFRONT_"
DEVICE_DB = "ARCHFRONT_DEVICE_DB"
# What decides how words are understood, below the folder of archfront.
PARTS, ENDINGS = ("conf", "search", "trainers"), (".py", ".yaml")


@dataclass(frozen=True)
class Answer:
    """A profile as the command tells it.

    Attributes:
        profile: The profile, with its objects at the sizes of the space.
        notes: What was told beside it, a line each.
    """

    profile: DatasetProfile
    notes: tuple[str, ...]


def remembered(words: Sequence[str]) -> Answer | None:
    """Return what was answered to words, while nothing has changed that decides it; else None."""
    file = _file(words)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        version, decoded_by, options = content["options"]
        is_same = version == VERSION and decoded_by == decoders(options["reader"])
        if not is_same or _hash(content["options"]) != content["fingerprint"]:
            return None
        answer: Answer = restored(Answer, content["answer"])
    except (OSError, ValueError, RecursionError, TypeError, KeyError):
        return None
    with suppress(OSError):
        os.utime(file)
    return answer


def remember(words: Sequence[str], ref: DataRef, answer: Answer) -> None:
    """Keep an answer to words, of data all of which lies below its root."""
    options = deciding(ref)
    content = {
        "options": options,
        "fingerprint": _hash(options),
        "answer": encode(answer),
    }
    if content["fingerprint"] != answer.profile.fingerprint:  # links, or a change meanwhile
        return
    file = _file(words)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(content) + "\n")
        keep_latest(file.parent, KEPT)
    except OSError as error:
        logger.warning("The answer cannot be kept in %s: %s", file.parent, error)


def _hash(options: list[Any]) -> str:
    """Return the fingerprint of data without links; empty where data may lie elsewhere."""
    data = options[2]
    if data["outside_root"] == "allow":
        return ""
    if data["root"] is None:
        return hashed(options, [])
    has_links = False

    def files() -> Iterator[list[Any]]:
        nonlocal has_links
        has_links = yield from files_at(data["root"], data["annotations"])

    found = hashed(options, files())
    return "" if has_links else found


def _file(words: Sequence[str]) -> Path:
    """Return the file of an answer: beside the profiles that are remembered of this machine."""
    device_db = os.environ.get(DEVICE_DB) or cache_file("latency.db")
    decides = {
        "words": list(words),
        "folder": os.getcwd(),
        "variables": {
            name: value
            for name, value in sorted(os.environ.items())
            if name in VARIABLES or name.startswith(PREFIX)
        },
        "sources": _sources(),
    }
    key = hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:24]
    return Path(device_db).expanduser().with_name("profiles") / "answers" / f"{key}.json"


def _sources() -> list[int]:
    """Return how many files archfront has, and the time of the latest change of one."""
    top = Path(__file__).resolve().parents[2]
    times = [
        os.stat(os.path.join(folder, name)).st_mtime_ns
        for part in PARTS
        for folder, _, names in os.walk(top / part)
        for name in names
        if name.endswith(ENDINGS)
    ]
    return [len(times), max(times)]
