"""``archfront serve``: the service on the studies of a root."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from archfront.search.commands.consoles import echo
from archfront.search.commands.flags import Problems, collecting, flag_problems, not_counts
from archfront.search.commands.study_text import add_root, root_or_default, url_or_default
from archfront.search.errors import ConfigError
from archfront.trainers.files import plain_path

if TYPE_CHECKING:
    from archfront.search.service.service_settings import ServiceSettings

# What stands for every address of a machine.
EVERYWHERE = ("0.0.0.0", "::")
TEXT = """\
Serve the studies of a root: an HTTP API and a page, for programs and people with a token.

The first start prints a link with the first token. Studies go on when the server ends; the next
one takes them up.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront serve`` takes."""
    parser.description = TEXT
    add_root(parser)
    parser.add_argument(
        "--storage-url", help="SQLAlchemy URL, for studies that keep records in it"
    )
    parser.add_argument("--mlflow-uri", help="MLflow's store, if it is not in the root")
    parser.add_argument(
        "--mlflow-page", metavar="URL", help="where browsers find MLflow, for links to its runs"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port (default: %(default)s)")
    parser.add_argument(
        "--root-path", default="", metavar="PATH", help="where a proxy shows it, as /archfront"
    )
    parser.add_argument(
        "--database",
        metavar="URL",
        help="SQLAlchemy URL of the service's own tables, as postgresql+pg8000://...; better in "
        "ARCHFRONT_DATABASE_URL, which no list of processes shows (default: a file in the root)",
    )
    parser.add_argument(
        "--data-root",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="a folder in which data may lie; may be given several times",
    )
    parser.add_argument(
        "--max-studies", type=int, default=1, metavar="N", help="studies at once (default: 1)"
    )
    parser.add_argument(
        "--study-threads", type=int, metavar="N", help="threads of a study at most"
    )
    parser.add_argument(
        "--study-memory-mb", type=int, metavar="N", help="memory of a study at most, in MB"
    )
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate, for https")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its key")
    parser.add_argument(
        "--no-auth", action="store_true", help="no tokens, for whoever works on this machine"
    )
    parser.add_argument(
        "--reset-token", action="store_true", help="another first token in place of the old one"
    )


def call(arguments: argparse.Namespace) -> int:
    """Serve until the process is interrupted."""
    settings, at = _checked(arguments)
    with at:
        from archfront.search.service.app import create_app
        from archfront.search.service.server import new_server, serve
        from archfront.search.service.service_settings import LOOPBACK

        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
        app = create_app(settings)
        token = None
        if settings.needs_token:
            token = app.state.service.tokens.first(anew=arguments.reset_token)
        scheme = "http" if arguments.tls_cert is None else "https"
        # All addresses of a machine are none that a browser takes.
        host = settings.host
        name = LOOPBACK[0] if host in EVERYWHERE else f"[{host}]" if ":" in host else host
        shown = f"{scheme}://{name}:{settings.port}{settings.root_path}"

        def answers() -> None:
            # Behind the number sign, which no browser sends and no server logs.
            link = f"{shown}/" if token is None else f"{shown}/login#{token}"
            echo(f"archfront serves {settings.root}: {link}  (Ctrl-C ends it, studies go on)")
            if token is not None:
                echo("The link has the token, which is shown this once. Keep it.")
            sys.stdout.flush()

        serve(new_server(app, answers, certificate=arguments.tls_cert, key=arguments.tls_key), at)
    return 0


def _checked(arguments: argparse.Namespace) -> tuple[ServiceSettings, socket.socket]:
    """Return the settings that the words ask for, and a socket that listens at their address.

    Raises:
        ConfigError: With every problem.
    """
    from archfront.search.tracking.mlflow_server import listening

    problems, settings = _problems(arguments), _settings(arguments)
    told = [*flag_problems(problems), *settings.problems()]
    at = None
    with collecting(told):
        if "port" not in problems:
            at = listening(settings.host, settings.port)
        if not told:
            settings.check()  # makes the root
    if at is None or told:
        if at is not None:
            at.close()
        raise ConfigError(*told)
    return settings, at


def _problems(arguments: argparse.Namespace) -> Problems:
    """Return what is wrong with counts and with the files of TLS, by option."""
    counts = {
        "port": arguments.port,
        "max_studies": arguments.max_studies,
        "study_threads": arguments.study_threads,
        "study_memory_mb": arguments.study_memory_mb,
    }
    problems = not_counts(counts)
    files = [arguments.tls_cert, arguments.tls_key]
    missing = {
        name: f"there is no file {file}."
        for name, file in zip(("tls_cert", "tls_key"), files, strict=True)
        if file is not None and not file.is_file()
    }
    problems |= missing
    if (arguments.tls_cert is None) != (arguments.tls_key is None):
        problems["tls_cert"] = "a certificate and its key are given together."
    elif not missing and arguments.tls_cert is not None:
        problems |= _unfit_certificate(arguments.tls_cert, arguments.tls_key)
    return problems


def _settings(arguments: argparse.Namespace) -> ServiceSettings:
    """Return the settings that the words ask for, which may have problems."""
    from archfront.search.service.service_settings import ServiceSettings
    from archfront.search.service.verb_process import DATABASE_VARIABLE

    return ServiceSettings(
        root=root_or_default(arguments.root),
        database_url=arguments.database or os.environ.get(DATABASE_VARIABLE),
        data_roots=tuple(plain_path(folder) for folder in arguments.data_root),
        host=arguments.host,
        port=arguments.port,
        root_path=arguments.root_path.rstrip("/"),
        max_studies=arguments.max_studies,
        study_threads=arguments.study_threads,
        study_memory_mb=arguments.study_memory_mb,
        needs_token=not arguments.no_auth,
        storage_url=url_or_default(arguments.storage_url),
        mlflow_uri=arguments.mlflow_uri,
        mlflow_page=arguments.mlflow_page,
    )


def _unfit_certificate(certificate: Path, key: Path) -> Problems:
    """Return why a certificate and a key cannot be used; empty where they can."""
    import ssl

    try:
        # A key with a password would be asked for at a terminal that a server may not have.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        return {
            "tls_cert": f"{certificate} and {key} are no certificate in PEM with its key, without "
            f"a password: {error.args[-1]}."
        }
    return {}
