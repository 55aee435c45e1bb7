"""Whether an export was made by this user: an HMAC over its manifest, by a key that stays here.

A checksum tells whether a file is the one that its manifest names. It does not tell who wrote the
manifest, and a format that is a program can do whatever its author wants. So an export carries a
signature that only the holder of the key can make.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import logging
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

SIGNATURE = "signature"
KEY_BYTES = 32


def key_file() -> Path:
    """Return where the key lies: ``archfront/export.key`` in the user's configuration folder.

    Source: XDG Base Directory Specification 0.8.

    Raises:
        RuntimeError: If the user has no home folder.
    """
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    # The specification has relative paths ignored: they would depend on the working folder.
    base = Path(configured) if os.path.isabs(configured) else Path.home() / ".config"
    return base / "archfront" / "export.key"


def signed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a manifest with its signature, made with a new key if there is none.

    Without a key, which is logged, the content is returned without a signature.
    """
    rest = _unsigned(content)
    key = _key(is_made=True)
    return rest if key is None else {**rest, SIGNATURE: _digest(rest, key)}


def is_signed_here(content: Mapping[str, Any]) -> bool:
    """Return whether the content of a manifest has the signature that this user's key gives."""
    given = content.get(SIGNATURE)
    key = _key(is_made=False) if isinstance(given, str) else None
    if key is None:
        return False
    return hmac.compare_digest(str(given).encode(), _digest(_unsigned(content), key).encode())


def _unsigned(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != SIGNATURE}


def _digest(content: Mapping[str, Any], key: bytes) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _key(*, is_made: bool) -> bytes | None:
    """Return this user's key; None where there is none, or others may read or write it."""
    try:
        file = key_file()
        if is_made and not file.exists():
            _make_key(file)
        with file.open("rb") as opened:
            is_open_to_others = _is_open_to_others(os.fstat(opened.fileno()))
            key = opened.read(2 * KEY_BYTES)
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError) as error:
        log.warning("Exports are neither signed nor known as made here: %s", error)
        return None
    if is_open_to_others or len(key) != KEY_BYTES:
        what = "other users may read or write it" if is_open_to_others else "it is damaged"
        log.warning("The key of exports %s is not used, since %s. Remove it.", file, what)
        return None
    return key


def _is_open_to_others(found: os.stat_result) -> bool:
    if os.name == "nt":  # has no such bits
        return False
    is_foreign = found.st_uid != os.geteuid() or not stat.S_ISREG(found.st_mode)
    return is_foreign or bool(found.st_mode & 0o077)


def _make_key(file: Path) -> None:
    """Write a new key whole, unless another process was first."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    written = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(secrets.token_bytes(KEY_BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(written, file)
    finally:
        written.unlink(missing_ok=True)
