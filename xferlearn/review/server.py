"""The review's page for one person on this machine: what it serves, and to whom."""

import json
import mimetypes
import os
import re
import secrets
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from werkzeug import Request, Response
from werkzeug.exceptions import HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server

from xferlearn.errors import UserError, XferlearnError
from xferlearn.photos.several import label_text
from xferlearn.review.answers import ChangedMeanwhile
from xferlearn.review.evidence import Evidence
from xferlearn.review.labels import UnknownPhoto
from xferlearn.review.pictures import PhotoGone, Pictures
from xferlearn.review.session import Session
from xferlearn.system.text import one_line, readable

HOST = "127.0.0.1"
DEFAULT_PORT = 6116
_USUAL_PORT = 80
STATIC_DIR = Path(__file__).parent / "static"
# Ten thousand photos in one answer.
_MOST_BYTES = 2**20
_WAIT_SECONDS = 25.0
# A connection that says nothing for so long is given up.
_IDLE_SECONDS = 60.0
_SIDES = 64, 2048
_DEFAULT_SIDE = 1280
_ID = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"[0-9]{1,9}")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class _Refused(Exception):
    """A request is not answered; with the code, and the line that says why."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code


class ReviewApp:
    """The page as a WSGI application.

    Attributes:
        token: what every path begins with.
        port: where it is served; requests for another one are refused.
    """

    def __init__(self, session: Session, pictures: Pictures, evidence: Evidence) -> None:
        """Prepares the page.

        Args:
            session: the review.
            pictures: its photos.
            evidence: what speaks for their labels.
        """
        self.token = secrets.token_urlsafe(24)
        self.port = 0
        self._session, self._pictures, self._evidence = session, pictures, evidence
        # No request can name any other file.
        self._files = {path.name: path for path in STATIC_DIR.glob("*.*")}
        self._posts: dict[str, Callable[[dict[str, Any]], int | None]] = {
            "answer": self._answer,
            "undo": lambda body: session.undo(_act(body)),
            "refit": lambda _: session.refit(),
            "class": lambda body: session.add_class(_text(body, "label")),
        }

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answers one request."""
        request = Request(environ)
        request.max_content_length = _MOST_BYTES
        response = self._response(request)
        response.headers.update(_HEADERS)
        return response(environ, start_response)

    def _response(self, request: Request) -> Response:
        try:
            return self._routed(request)
        except _Refused as refused:
            reason = str(refused)
            return _json({"error": reason}, refused.code) if reason else Response(status=404)
        except (PhotoGone, UnknownPhoto) as error:
            return _json({"error": str(error)}, 404)
        except ChangedMeanwhile as error:
            return _json({"error": str(error)}, 409)
        except UserError as error:
            return _json({"error": str(error)}, 400)
        except XferlearnError as error:
            return _json({"error": str(error)}, 500)
        except OSError as error:
            reason = f"This can't be shown: {one_line(error, with_file=True)}."
            if request.method == "POST":
                path = self._session.answers.path
                reason = f"Can't write {readable(str(path))}: {one_line(error)}. This was not kept."
            return _json({"error": reason}, 500)
        except HTTPException as error:  # werkzeug's own, such as a body that is too long
            return _json({"error": one_line(error.description or error.name)}, error.code or 400)

    def _routed(self, request: Request) -> Response:
        # Browsers leave out the port that is usual for pages.
        ports = (f":{self.port}", *([""] if self.port == _USUAL_PORT else []))
        hosts = [f"{host}{port}" for host in (HOST, "localhost") for port in ports]
        if request.environ.get("HTTP_HOST") not in hosts:
            raise _Refused(421, "This page is for this machine alone.")
        token, slash, path = request.path.removeprefix("/").partition("/")
        if not secrets.compare_digest(token.encode("utf-8", "replace"), self.token.encode()):
            raise _Refused(404)
        if not slash:
            return Response(status=308, headers={"Location": f"/{self.token}/"})
        if request.method == "POST":
            return self._posted(request, path)
        if request.method != "GET":
            raise _Refused(405, "Expected GET or POST.")
        if path in ("", "index.html"):
            return self._file("index.html")
        if path == "state":
            return self._state(request)
        kind, _, name = path.partition("/")
        if kind == "static":
            return self._file(name)
        if kind == "photo":
            picture = self._pictures.find(_digest(name), _side(request))
            return Response(picture.jpeg, mimetype="image/jpeg")
        if kind == "heat":
            return Response(self._evidence.heat(_digest(name)), mimetype="image/png")
        if kind == "detail":
            return _json(self._evidence.detail(_digest(name)))
        raise _Refused(404, "There is no such page.")

    def _posted(self, request: Request, path: str) -> Response:
        origin = request.headers.get("Origin")
        same = request.headers.get("Sec-Fetch-Site") == "same-origin"
        if origin != f"http://{request.environ['HTTP_HOST']}" and (origin is not None or not same):
            raise _Refused(403, "Answers are taken from this page alone.")
        if path not in self._posts:
            raise _Refused(404, "There is no such page.")
        if request.mimetype != "application/json":
            raise _Refused(415, "Expected the content type application/json.")
        try:
            body = json.loads(request.get_data())
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise _Refused(400, "Expected a JSON object.")
        act = self._posts[path](body)
        return _json({**self._session.state(), "act": act})

    def _answer(self, body: dict[str, Any]) -> int:
        # One answer, or several that are one act.
        given = body.get("answers", [body])
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            raise UserError("Expected `answers` to be a list of answers.")
        return self._session.answer_all([_read_answer(one) for one in given])

    def _state(self, request: Request) -> Response:
        since = request.args.get("since")
        if since is not None:
            if not _NUMBER.fullmatch(since):
                raise UserError("Expected `since` to be a whole number.")
            if not self._session.wait(int(since), _WAIT_SECONDS):
                return Response(status=204)
        return _json(self._session.state())

    def _file(self, name: str) -> Response:
        path = self._files.get(name)
        if path is None:
            raise _Refused(404, "There is no such page.")
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        kind = "text/javascript" if path.suffix in (".js", ".mjs") else kind
        return Response(path.read_bytes(), mimetype=kind)


def _read_answer(body: dict[str, Any]) -> tuple[list[bytes], str, str]:
    ids = body.get("ids")
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise UserError("Expected `ids` to be a list of photos.")
    digests = [_digest(one) for one in dict.fromkeys(ids)]
    if "labels" in body:
        return digests, _text(body, "action"), label_text(_texts(body, "labels"))
    return digests, _text(body, "action"), _text(body, "label") if "label" in body else ""


def _act(body: dict[str, Any]) -> int | None:
    act = body.get("act")
    if act is not None and type(act) is not int:
        raise UserError("Expected `act` to be the number of an answer.")
    return act


def _digest(name: str) -> bytes:
    if not _ID.fullmatch(name):
        raise UnknownPhoto("Expected a photo's SHA-256, 64 hexadecimal digits.")
    return bytes.fromhex(name)


def _side(request: Request) -> int:
    text = request.args.get("side", str(_DEFAULT_SIDE))
    least, most = _SIDES
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise UserError(f"Expected `side` to be a number from {least} to {most}.")
    return int(text)


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or len(value) > _MOST_BYTES:
        raise UserError(f"Expected `{name}` to be text.")
    return value


def _texts(body: dict[str, Any], name: str) -> list[str]:
    values = body.get(name)
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise UserError(f"Expected `{name}` to be a list of texts.")
    return values


def _json(content: dict[str, Any], code: int = 200) -> Response:
    # What is no UTF-8 becomes escapes, so a name can't break the answer.
    return Response(json.dumps(content), status=code, mimetype="application/json")


class _Handler(WSGIRequestHandler):
    timeout = _IDLE_SECONDS

    @property
    def server_version(self) -> str:  # type: ignore[override]
        """What the server calls itself, without the versions of what it is made of."""
        return "xferlearn"

    def version_string(self) -> str:
        """Returns the same."""
        return self.server_version

    def log(self, type: str, message: str, *args: Any) -> None:
        """Prints no line per request."""


def listen(port: int | None) -> socket.socket:
    """Returns a socket that listens on this machine alone.

    Args:
        port: 0 for any that is free; None for the usual one, or any where that is in use.

    Raises:
        UserError: the port is in use, or can't be had.
    """
    problem: OSError | None = None
    for one in (DEFAULT_PORT, 0) if port is None else (port,):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            # Elsewhere it lets two programs have one port.
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, one))
            listener.listen(128)
            return listener
        except OSError as error:
            listener.close()
            problem = error
    raise UserError(
        f"Can't use port {port}: {one_line(problem)}. Choose another with `port`, 0 for any."
    )


class Serving:
    """The page being served by threads of this process.

    Attributes:
        url: its address, with the token.
    """

    def __init__(self, app: ReviewApp, listener: socket.socket) -> None:
        """Begins to serve.

        Args:
            app: the page.
            listener: as `listen` returns it; stays the caller's.
        """
        app.port = listener.getsockname()[1]
        # Werkzeug ends the process when it can't bind, and makes a copy of what is bound.
        self._server = make_server(
            HOST,
            app.port,
            app,
            threaded=True,
            request_handler=_Handler,
            fd=listener.fileno(),
        )
        self._server.daemon_threads = True  # type: ignore[attr-defined]
        self.url = f"http://{HOST}:{app.port}/{app.token}/"
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="review page", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
