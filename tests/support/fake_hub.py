"""A hub of weights on this machine: files by repository, with hashes, as the real one gives."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save

COMMIT = "c" * 40


@dataclass
class FakeHub:
    """What a hub holds, and what it was asked for.

    Attributes:
        url: Where it answers.
        files: Content by repository.
        asked: Method and repository of every request.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def publish(self, *names: str) -> None:
        """Publish random weights of timm models in their default repositories."""
        for name in names:
            torch.manual_seed(41)
            content = save(timm.create_model(name).state_dict())
            self.files[timm.get_pretrained_cfg(name).hf_hub_id.removesuffix("/")] = content

    def sha256(self, name: str) -> str:
        """Return the hash of a model's file."""
        return hashlib.sha256(self.files[timm.get_pretrained_cfg(name).hf_hub_id]).hexdigest()

    def downloads(self) -> list[str]:
        """Return the repositories of the files that were sent."""
        return [repository for method, repository in self.asked if method == "GET"]


@contextmanager
def fake_hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """Serve an empty hub, and let huggingface_hub ask it and no other, with an empty cache."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(is_sent=False)

        def do_GET(self) -> None:
            self._answer(is_sent=True)

        def _answer(self, *, is_sent: bool) -> None:
            repository, _, file = self.path.lstrip("/").partition("/resolve/main/")
            hub.asked.append((self.command, repository))
            content = hub.files.get(repository) if file == "model.safetensors" else None
            self.send_response(404 if content is None else 200)
            if content is None:
                code = "EntryNotFound" if repository in hub.files else "RepoNotFound"
                self.send_header("X-Error-Code", code)
            else:
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            if is_sent and content is not None:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        constants = huggingface_hub.constants
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        try:
            yield hub
        finally:
            server.shutdown()
