"""The command `serve`: the explorer as a local web page, with its HTTP API."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from bayesnet.cli.common import ModelOption, app, clear_errors, console

__all__: list[str] = []


@app.command(
    epilog="Examples:  bayesnet serve --open  |  bayesnet serve --port 9000  |  "
    "curl -s localhost:8000/v1/diagnose -H 'Content-Type: application/json' "
    '-d \'{"findings": {"age": 34, "rest_response": "worse"}}\''
)
def serve(
    model: ModelOption = "pt_failure",
    host: Annotated[
        str, typer.Option(help="Address to bind; any but loopback is reachable by others.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any free port.")] = 8000,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """The explorer as a local web page, with an HTTP API (described at /docs). Stops with Ctrl-C."""
    import bayesnet

    out = console()
    with clear_errors():
        from bayesnet.explorer.server import is_loopback
        from bayesnet.explorer.server import serve as run

        loaded = bayesnet.load(model)

        def ready(url: str) -> None:
            out.print(f"The explorer is at {url} (API: {url}/docs). Stop it with Ctrl-C.", soft_wrap=True)
            if not is_loopback(host):
                out.print("It can be reached from the network, without a password or encryption: "
                          "only for networks you trust.", soft_wrap=True)
            out.print(f"[dim]{escape(loaded.disclaimer)}[/]", soft_wrap=True)
            if open_:
                typer.launch(url)

        run(loaded, host, port, ready)
