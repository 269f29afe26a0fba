"""What requests may say: paths that exist, bodies that our pages send. Anything else is refused in a sentence."""

from __future__ import annotations

import sys

import flask
from dash.exceptions import DependencyException
from werkzeug.exceptions import HTTPException

from srsearch.text import printable

_MOST_BYTES = 1 << 20
"""More than any request of ours: the longest are links."""


def check_requests(server: flask.Flask) -> None:
    """Refuse requests that no page of ours sends, before Dash reads them: it takes every body for its own."""
    server.config["MAX_CONTENT_LENGTH"] = _MOST_BYTES
    root = server.config["APPLICATION_ROOT"]

    def check() -> flask.Response | None:
        if (flask.request.content_length or 0) > _MOST_BYTES:
            flask.abort(413)
        rule = flask.request.url_rule
        if rule is not None and rule.rule == f"{root}<path:path>":  # Dash would send the page for any path
            flask.abort(404)
        if rule is not None and rule.rule == f"{root}_dash-update-component" and flask.request.method == "POST":
            return None if _is_ours() else _sentence("This is not a request that a page of the dashboard sends.", 400)
        return None

    server.before_request(check)
    server.register_error_handler(DependencyException, lambda _: _sentence("There is no such file.", 404))
    server.register_error_handler(Exception, _failure)


def _is_ours() -> bool:
    """Whether the body asks for the page of a link."""
    try:
        body = flask.request.get_json()
    except RecursionError:
        return False
    match body:
        case {
            "output": "page.data",
            "outputs": {"id": "page", "property": "data"},
            "inputs": [
                {"id": "address", "property": "data"} as address,
                {"id": "version", "property": "data"} as version,
            ],
            "changedPropIds": [*changed],
        }:
            texts = [each for each in (address.get("value"), version.get("value")) if each is not None]
            return all(isinstance(each, str) for each in [*texts, *changed]) and not body.get("state")
    return False


def _failure(error: Exception) -> flask.Response | HTTPException:
    """The response where something raised an error. What nobody expected is one line in the output of the command."""
    if isinstance(error, HTTPException):
        return error
    told = printable(f"{flask.request.path[:200]} failed: {type(error).__name__}: {error}"[:1000])
    print(f"srsearch: {told}", file=sys.stderr)
    return _sentence("Something went wrong. The output of `srsearch dashboard` says more.", 500)


def _sentence(text: str, status: int) -> flask.Response:
    return flask.Response(f"{text}\n", status=status, mimetype="text/plain")
