"""What an export of somebody else may be: no program, and of a size that this machine bears.

A graph of ONNX or OpenVINO names operators of the runtime and nothing else. TorchScript reads and
writes files, and torch.export evaluates text of its archive. A folder of transformers is plain as
long as its files are weights and the few options that an export writes.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from archfront.search.errors import ArtifactError
from archfront.search.predict.manifest import MANIFEST, PLAIN_OPENERS, Artifact

# The most of one file of ONNX, and an input of 64 images of 512 px in three channels.
MAX_MB, MAX_VALUES = 2000, 64 * 512 * 512 * 3
# Of transformers' files, those that are weights or texts.
HF_SUFFIXES = (".json", ".safetensors")
# What ``trainers.networks.hf.publish`` gives to timm: anything else may name a file.
TIMM_OPTIONS = {"in_chans", "img_size", "global_pool"}
TIMM_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)?")
# Keys by which transformers imports code that lies beside the weights.
CODE_KEYS = ("auto_map", "custom_pipelines", "trust_remote_code")


def check_origin(opener: str, path: Path) -> None:
    """See that a file of an export that nobody vouches for is no program.

    Args:
        opener: Key of ``search.predict.openers.OPENERS``.
        path: The file or folder that is to be opened.

    Raises:
        ArtifactError: If it is one.
    """
    if opener in PLAIN_OPENERS or (opener == "hf" and is_plain_hf(path)):
        return
    raise ArtifactError(
        f"{path} is a program ({opener}), and its {MANIFEST} has no signature of yours: it "
        "was exported by another user, on another machine, or before exports were signed. "
        "Opening it can read, change and send your files. Take another format (onnx, openvino), "
        "export it here again, or give --trust if you trust who made it."
    )


def check_size(folder: Path, artifact: Artifact) -> None:
    """See that the files and the input of an export that nobody vouches for are not too large.

    Raises:
        ArtifactError: If they are.
    """
    places = [folder / name for name in artifact.files]
    size_mb = sum(place.stat().st_size for place in places if place.is_file()) / 1e6
    n_values = math.prod([artifact.input.batch or 1, *artifact.input.shape])
    reason = (
        f"its files have {size_mb:,.0f} MB, and at most {MAX_MB:,} MB"
        if size_mb > MAX_MB
        else f"its input has {n_values:,} values, and from 1 to {MAX_VALUES:,}"
        if not 1 <= n_values <= MAX_VALUES
        else None
    )
    if reason is not None:
        raise ArtifactError(
            f"{folder}: {reason} are opened without a signature of yours. Export it here again, "
            "or give --trust."
        )


def is_plain_hf(folder: Path) -> bool:
    """Return whether a folder of transformers holds weights and an export's options only."""
    if not folder.is_dir():
        return False
    try:
        for file in folder.rglob("*"):
            if file.suffix not in HF_SUFFIXES or not file.is_file():
                return False
            if file.suffix == ".json" and not _is_plain(json.loads(file.read_text("utf-8"))):
                return False
    except (OSError, ValueError, RecursionError):
        return False
    return True


def _is_plain(content: Any) -> bool:
    if not isinstance(content, dict) or any(key in content for key in CODE_KEYS):
        return False
    options, name = content.get("model_args") or {}, content.get("architecture")
    is_named = name is None or (isinstance(name, str) and TIMM_NAME.fullmatch(name) is not None)
    return is_named and isinstance(options, dict) and options.keys() <= TIMM_OPTIONS
