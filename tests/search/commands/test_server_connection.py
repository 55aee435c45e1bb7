"""The connection to a server: its token, and what is said of a token that is not taken."""

from __future__ import annotations

import json

import pytest

from archfront.search.commands.server_connection import ServerConnection
from archfront.search.errors import ConfigError

REFUSAL = json.dumps({"error": {"code": "c", "message": "m", "problems": []}}).encode()


@pytest.mark.parametrize(
    ("variable", "token", "said"),
    [
        (None, None, "http://h needs a token. Put one into ARCHFRONT_TOKEN"),
        ("", None, "http://h needs a token, and ARCHFRONT_TOKEN is empty. Put"),
        (" \n", None, "http://h needs a token, and ARCHFRONT_TOKEN is empty. Put"),
        ("right", "", "http://h needs a token, and the token is empty. Put"),
        ("wrong", None, "http://h has no such token: it is mistyped, deleted, or replaced. Put"),
    ],
)
def test_what_is_wrong_with_a_token_is_told_apart(
    variable: str | None, token: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ARCHFRONT_TOKEN", raising=False)
    if variable is not None:
        monkeypatch.setenv("ARCHFRONT_TOKEN", variable)
    assert str(ServerConnection("http://h", token)._refusal(401, REFUSAL)).startswith(said)


def test_a_token_that_no_header_can_hold_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHFRONT_TOKEN", "two words")
    with pytest.raises(ConfigError, match="ARCHFRONT_TOKEN: one word"):
        ServerConnection("http://h")
    with pytest.raises(ConfigError, match="the token: one word"):
        ServerConnection("http://h", "t\u00f6ken")
