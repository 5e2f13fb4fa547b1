"""The explorer as a local web page, and the HTTP API behind it.

A page on another site must not reach a patient's findings through the visitor's browser. So the
Host header must name this machine (else a hostile name could be pointed at it: DNS rebinding),
requests that a browser marks as coming from another origin are refused (`Origin`, `Sec-Fetch-Site`;
W3C Fetch Metadata), no CORS header is ever sent, bodies are JSON and bounded, and the pages may
load nothing but their own files (Content-Security-Policy). Nothing of a patient is stored or logged.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesnet.errors import BayesnetError, MissingExtraError
from bayesnet.explorer.api import ANSWERS, answer
from bayesnet.explorer.openapi import openapi
from bayesnet.explorer.view import cases_view, error_view, model_view

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import FileResponse, Response
    from starlette.routing import Route
except ImportError as error:
    raise MissingExtraError("the web page", "web") from error

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from bayesnet.model import DiagnosticModel

__all__ = ["LARGEST_BODY", "AddressError", "app", "is_loopback", "serve"]

#: Bytes of a request's body; a patient with everything known is a tenth of it.
LARGEST_BODY = 64 * 1024
#: Seconds from the first byte of a request to its answer.
TIME_LIMIT = 10.0
#: Connections at a time.
MOST_CONNECTIONS = 64

_STATIC = Path(__file__).parent / "static"
_FILES = {
    "/": "index.html", "/docs": "docs.html",
    **{f"/static/{name}": name
       for name in ("explorer.js", "explorer.css", "page.js", "page.css", "docs.js", "icon.svg")},
}
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class AddressError(BayesnetError, OSError):
    """The address cannot be served: in use, not ours, or not allowed."""


class _Announcing(uvicorn.Server):
    """A server that says when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self.ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.ready()


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine speaking to itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_ours(name: str, host: str) -> bool:
    """Whether a Host header's name is one under which this server, bound to `host`, is known.

    An address is safe where a name is not: a hostile page can point its own name here, but not an
    address.
    """
    if is_loopback(name) or name == host:
        return True
    if is_loopback(host):
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.lower() in {socket.gethostname().lower(), socket.getfqdn().lower()}
    return True


def _name_of(netloc: str) -> str:
    """`[::1]:8000` -> `::1`, `localhost:8000` -> `localhost`."""
    if netloc.startswith("["):
        return netloc[1:].partition("]")[0]
    return netloc.partition(":")[0]


def refusal(scope: Scope, host: str) -> tuple[int, str] | None:
    """Status and reason when a request must not be answered."""
    headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
    netloc = headers.get("host", "")
    if not _is_ours(_name_of(netloc), host):
        return 403, "the Host header does not name this machine; use http://localhost"
    if "origin" in headers and headers["origin"] not in (f"http://{netloc}", f"https://{netloc}"):
        return 403, "requests from other origins are refused"
    # A link or bookmark may open a page; nothing else may come from elsewhere.
    opens = scope["method"] == "GET" and headers.get("sec-fetch-dest") == "document"
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not opens:
        return 403, "requests from other sites are refused"
    if scope["method"] == "POST":
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return 415, "send Content-Type: application/json"
        if not headers.get("content-length", "0").isdigit() or int(
            headers.get("content-length", "0")
        ) > LARGEST_BODY:
            return 413, f"the body is larger than {LARGEST_BODY} bytes"
    return None


class _Guard:
    """Refuses what `refusal` refuses, adds the headers, and ends what takes too long."""

    def __init__(self, app: ASGIApp, host: str, disclaimer: str, time_limit: float) -> None:
        self.app, self.host, self.time_limit = app, host, time_limit
        self.disclaimer = disclaimer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                ours = [(k.lower().encode(), v.encode()) for k, v in _HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *ours]
            await send(message)

        refused = refusal(scope, self.host)
        if refused is not None:
            response = _failure(*refused, self.disclaimer)
            await response(scope, receive, send_with_headers)
            return
        try:
            await asyncio.wait_for(self.app(scope, receive, send_with_headers), self.time_limit)
        except TimeoutError:
            if not started:
                late = _failure(503, f"not answered within {self.time_limit:g} seconds", self.disclaimer)
                await late(scope, receive, send_with_headers)


def _json(data: Any, status: int = 200) -> Response:
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text, status, media_type="application/json")


def _failure(status: int, message: str, disclaimer: str) -> Response:
    error = {"message": message, "problems": [{"message": message, "where": "request"}]}
    return _json({"error": error, "disclaimer": disclaimer}, status)


async def _body(request: Request) -> bytes:
    """The body, refused as soon as it grows too large, whatever its header said."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > LARGEST_BODY:
            raise HTTPException(413, f"the body is larger than {LARGEST_BODY} bytes")
        parts.append(part)
    return b"".join(parts)


def app(model: DiagnosticModel, host: str = "127.0.0.1", time_limit: float = TIME_LIMIT) -> ASGIApp:
    """The web application.

    Parameters
    ----------
    model : DiagnosticModel
    host : str
        The address it is bound to; decides which Host headers are ours.
    time_limit : float
        Seconds a request may take.
    """
    about = {**model_view(model), "cases": cases_view(model)}
    disclaimer = model.disclaimer
    # One worker: questions take milliseconds, and a slow one must not starve the machine.
    worker = ThreadPoolExecutor(1, thread_name_prefix="bayesnet")

    async def ask(question: str, request: Request) -> Response:
        body = await _body(request)
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(worker, answer, model, question, body)
        except BayesnetError as error:
            return _json({"error": error_view(error), "disclaimer": disclaimer}, 422)
        return _json(found)

    def file(name: str) -> Callable[[Request], Awaitable[Response]]:
        async def send(request: Request) -> Response:
            return FileResponse(_STATIC / name, media_type=_TYPES[Path(name).suffix])

        return send

    def data(value: Any) -> Callable[[Request], Awaitable[Response]]:
        async def send(request: Request) -> Response:
            return _json(value)

        return send

    async def failed(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            return _failure(error.status_code, error.detail, disclaimer)
        return _failure(500, "the question could not be answered; this is a defect", disclaimer)

    routes = [
        *[Route(path, file(name)) for path, name in _FILES.items()],
        Route("/openapi.json", data(openapi(model))),
        Route("/v1/model", data(about)),
        Route("/v1/cases", data({"cases": about["cases"], "disclaimer": disclaimer})),
        *[Route(f"/v1/{q}", partial(ask, q), methods=["POST"]) for q in ANSWERS],
    ]
    inner = Starlette(
        routes=routes, exception_handlers={HTTPException: failed, Exception: failed}
    )
    return _Guard(inner, host, disclaimer, time_limit)


def serve(
    model: DiagnosticModel,
    host: str = "127.0.0.1",
    port: int = 8000,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until interrupted.

    Parameters
    ----------
    model : DiagnosticModel
    host : str
        Loopback by default; any other address makes the page reachable from the network.
    port : int
        0 for any free one.
    ready : callable
        Called once with the address, when requests are answered.

    Raises
    ------
    AddressError
        When the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise AddressError(f"{host}:{port} cannot be served: {error}") from error
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{listener.getsockname()[1]}"
    application = app(model, host)
    model.diagnose({})
    # No access log: paths say little, but nothing of a patient's visit need be kept.
    config = uvicorn.Config(
        application, access_log=False, log_level="warning", server_header=False,
        limit_concurrency=MOST_CONNECTIONS, timeout_keep_alive=30, timeout_graceful_shutdown=2,
        lifespan="off",
    )
    server = _Announcing(config, partial(ready, url))
    with listener:
        server.run(sockets=[listener])
