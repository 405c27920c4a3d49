"""`gym serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gym_core import UsageError
from gym_core.spi import (
    SECONDS,
    Terminal,
    component_config_options,
    component_options,
    component_settings,
    concurrency_option,
    debug_option,
    disable_option,
    given_deadlines,
    given_options,
    parse_models,
    pass_shared_terminal,
    read_components,
    timeout_options,
)

if TYPE_CHECKING:
    from gym_http.serve.opening import Wanted
    from gym_http.serve.settings import ServeSettings

TOKEN_VARIABLE = "GYM_SERVE_TOKEN"


@click.command()
@component_options(
    model="The model to serve, an agent's model, or one for a role that the environment asks.",
    env="The environment: [DIST/]NAME[:SELECTOR].",
    agent="The agent, with its --env and --model, or alone for the runs of others.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to serve on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8000,
    metavar="N",
    show_default=True,
    help="The port; 0 takes a free one.",
)
@click.option("--uds", metavar="PATH", help="Serve on a socket file instead, which only this user may open.")
@click.option("--token", help=f"What requests must bring as bearer token. Better: --token-file or {TOKEN_VARIABLE}.")
@click.option("--token-file", metavar="FILE", help="A file that holds the token.")
@click.option(
    "--allow-callback",
    "callbacks",
    metavar="HOST",
    multiple=True,
    help="A host whose URLs may be asked when a request names them, * for all; the asker's own may. Repeatable.",
)
@click.option(
    "--max-sessions",
    type=click.IntRange(min=1),
    default=32_768,
    metavar="N",
    show_default=True,
    help="Sessions of an environment open at once.",
)
@click.option(
    "--session-life",
    type=SECONDS,
    default=14_400.0,
    metavar="S",
    show_default=True,
    help="Seconds a session may stay open.",
)
@click.option(
    "--session-idle",
    type=SECONDS,
    default=3_600.0,
    metavar="S",
    show_default=True,
    help="Seconds a session may stay open with nothing asked of it.",
)
@click.option(
    "--max-body",
    type=click.IntRange(min=1),
    default=64 << 20,
    metavar="BYTES",
    show_default=True,
    help="The longest body of a request.",
)
@click.option(
    "--max-connections",
    type=click.IntRange(min=1),
    metavar="N",
    help="Connections open at once. By default what the limit on open files allows, with some to spare.",
)
@click.option(
    "--max-client-connections",
    type=click.IntRange(min=1),
    metavar="N",
    help="Connections of one address at once. By default three quarters of all, from this machine all.",
)
@click.option(
    "--client-timeout",
    type=SECONDS,
    default=30.0,
    metavar="S",
    show_default=True,
    help="Seconds a client may take to send the head of a request, or to go on with its body or with reading.",
)
@click.option("--mcp", is_flag=True, help="Offer the tools of sessions over the Model Context Protocol, too.")
@concurrency_option(1024, "Rollouts of an agent at once.")
@click.option(
    "--drain",
    type=SECONDS,
    default=30.0,
    metavar="S",
    show_default=True,
    help="Seconds that requests under way may take when the server is to end.",
)
@click.option(
    "--failures",
    type=click.Choice(["status", "masked"]),
    default="status",
    show_default=True,
    help="Rollouts and verdicts that failed, for those who ask as NeMo Gym does: an error status, or 200 and a row "
    "with `mask_sample`.",
)
@click.option(
    "--max-steps",
    type=click.IntRange(min=1),
    default=10,
    metavar="N",
    show_default=True,
    help="Responses after which a rollout that goes by `/step` is judged as it stands; no more than the `max_steps` of "
    "NeMo Gym's agent that plays it.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, metavar="S", show_default=True, help="Seed of sessions.")
@timeout_options
@component_settings
@click.option("-v", "--verbose", is_flag=True, help="Show the log on standard error.")
@component_config_options
@disable_option
@debug_option
@pass_shared_terminal
def serve(terminal: Terminal, /, **options: Any) -> int:
    """Offer an environment, a model or an agent over HTTP until it is interrupted.

    Without a token, which any other address than loopback requires, every program of this machine may ask, but no web
    page and nobody behind a proxy. One line with the URL is printed once it takes requests. SIGTERM and SIGINT end it:
    it takes nothing new, finishes what is under way and closes all sessions; a second one ends it at once.
    """
    from gym_core.spi import logged
    from gym_http.serve.serving import Serving

    settings = to_settings(options, terminal)
    wanted = to_wanted(options, terminal)
    with logged(terminal, verbose=options["verbose"]):
        serving = Serving(terminal, wanted, settings, host=options["host"], port=options["port"], uds=options["uds"])
        return serving.carry_out()


def to_wanted(options: dict[str, Any], terminal: Terminal) -> Wanted:
    """What the options of the command line want served. Raises `UsageError`."""
    from gym_http.serve.opening import Wanted

    models = parse_models(options["models"])
    configuration = read_components(terminal, options["config"])
    others = {place: options[place] for place in ("env", "agent", "sandbox")}
    return Wanted(
        **others,
        **given_options(options, models),
        models=models,
        concurrency=options["concurrency"],
        mcp=options["mcp"],
        disabled_plugins=tuple(filter(None, options["disabled"])),
        configured=configuration.components(models, others, terminal.note),
    )


def to_settings(options: dict[str, Any], terminal: Terminal) -> ServeSettings:
    """How the options of the command line want it served. Raises `UsageError`."""
    from gym_http.serve.connections import ConnectionLimits
    from gym_http.serve.settings import LOOPBACK, ServeSettings, require_token

    token = _token(options)
    terminal.redactor.add(token)
    if options["uds"] is None:
        require_token(options["host"], token)
    return ServeSettings(
        token=token,
        local=options["uds"] is None and options["host"] in LOOPBACK,
        max_sessions=options["max_sessions"],
        session_life=options["session_life"],
        session_idle=options["session_idle"],
        max_body=options["max_body"],
        drain=options["drain"],
        seed=options["seed"],
        callbacks=options["callbacks"],
        masks_failures=options["failures"] == "masked",
        max_steps=options["max_steps"],
        connections=ConnectionLimits(
            connections=options["max_connections"],
            per_client=options["max_client_connections"],
            seconds=options["client_timeout"],
        ),
        deadlines=given_deadlines(options),
    )


def _token(options: dict[str, Any]) -> str:
    """The token from argv, a file or the environment, the first that is given. Raises `UsageError`."""
    import os
    from pathlib import Path

    from gym_core.spi import load_dotenv

    if options["token"] is not None and options["token_file"] is not None:
        raise UsageError("--token and --token-file contradict each other", hint="give one of them")
    if options["token"] is not None:
        token, source = options["token"], "--token"
    elif options["token_file"] is not None:
        source = options["token_file"]
        try:
            token = Path(source).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the token cannot be read from {source}: {error}") from None
    else:
        load_dotenv()
        token, source = os.environ.get(TOKEN_VARIABLE, "").strip(), TOKEN_VARIABLE
        if not token:
            return ""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(f"{source} holds no token: it must be visible ASCII characters without spaces")
    return str(token)
