"""The tokens: those with scope full see, make and delete them."""

from __future__ import annotations

from fastapi import APIRouter, Response

from archfront.search.service.bodies import NewToken, Token, TokenRequest
from archfront.search.service.dependencies import TheService

router = APIRouter(prefix="/tokens", tags=["tokens"])


@router.get("")
def list_tokens(service: TheService) -> list[Token]:
    """Return the tokens by age."""
    return [Token(**row) for row in service.tokens.listed()]


@router.post("", status_code=201)
def make_token(asked: TokenRequest, service: TheService) -> NewToken:
    """Make a token and return its secret, which cannot be read again."""
    secret = service.tokens.create(asked.name, asked.scope)
    return NewToken(name=asked.name, scope=asked.scope, token=secret)


@router.delete("/{token}", status_code=204)
def delete_token(token: str, service: TheService) -> Response:
    """Delete a token by its id; the sessions of its logins end."""
    service.tokens.delete(token)
    return Response(status_code=204)
