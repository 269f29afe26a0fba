"""Access control: other machines need the token, and pages may not contact any other server."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import urlencode

import flask
from markupsafe import Markup

from srsearch.dashboard.live.listening import is_loopback

_COOKIE = "srsearch"

_PAGE = Markup(
    "<!doctype html><html lang=en><meta charset=utf-8><title>srsearch</title>"
    '<body style="font: 16px/1.5 system-ui, sans-serif; margin: 10vh auto; max-width: 36em; padding: 0 1em">'
    "<h1>{title}</h1><p>{text}</p>{form}"
)
_ELSEWHERE = "Open the dashboard as localhost, or start it with --token to open it by another name."
_FORM = Markup(
    "<form><label>Token <input name=token type=password autocomplete=current-password autofocus></label> "
    "<button>Open</button></form>"
)


def guard(server: flask.Flask, token: str | None, script_hashes: Sequence[str]) -> None:
    """Check every request, and add the headers that protect pages to every response.

    Args:
        server: The application to guard.
        token: The token that every request must have; None where only this machine can reach the server.
        script_hashes: CSP hashes of the scripts that Dash writes into the page.
    """
    policy = (
        f"default-src 'none'; script-src 'self' {' '.join(script_hashes)}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )

    headers = {
        "Content-Security-Policy": policy,
        "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",  # a link with a wrong token is told to nobody
        "Cross-Origin-Resource-Policy": "same-origin",
    }

    def check() -> flask.Response | None:
        if token is None:
            # DNS rebinding: a foreign page may point its own name to this machine. The Host header gives it away.
            return None if is_loopback(_host()) else _refusal(403, "Access refused", _ELSEWHERE)
        return _check_token(token)

    def finish(response: flask.Response) -> flask.Response:
        response.headers.update(headers)
        response.headers.setdefault("Cache-Control", "private, no-cache")
        return response

    server.before_request(check)
    server.after_request(finish)


def _host() -> str:
    host = flask.request.host
    return host[1 : host.index("]")] if host.startswith("[") and "]" in host else host.partition(":")[0]


def _check_token(token: str) -> flask.Response | None:
    given = flask.request.args.get("token")
    if given is not None and flask.request.method == "GET":
        if not _same(given, token):
            return _refusal(403, "Wrong token", "This is not the token of this dashboard.", form=True)
        # Move the token from the link to a cookie, because people share links.
        rest = [(name, value) for name, value in flask.request.args.items(multi=True) if name != "token"]
        root = flask.current_app.config["APPLICATION_ROOT"]
        here = flask.current_app.config["SHOWN_ROOT"] + flask.request.path.removeprefix(root)
        answer = flask.redirect(here + (f"?{urlencode(rest)}" if rest else ""))
        # Behind a proxy that speaks HTTPS, browsers must not send the cookie without it.
        encrypted = flask.request.is_secure or flask.request.headers.get("X-Forwarded-Proto", "") == "https"
        answer.set_cookie(_COOKIE, _sealed(token), secure=encrypted, httponly=True, samesite="Strict")
        return flask.make_response(answer)
    bearer = flask.request.headers.get("Authorization", "")
    if bearer.startswith("Bearer "):
        if _same(bearer.removeprefix("Bearer "), token):
            return None
        return _refusal(403, "Wrong token", "This is not the token of this dashboard.", form=True)
    cookie = flask.request.cookies.get(_COOKIE)
    if cookie is not None and _same(cookie, _sealed(token)):
        return None
    return _refusal(401, "This dashboard needs its token", "It was set with --token at the start.", form=True)


def _same(given: str, right: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode("utf-8", "replace"))


def _sealed(token: str) -> str:
    return hmac.new(token.encode("utf-8", "replace"), b"srsearch dashboard", hashlib.sha256).hexdigest()


def _refusal(status: int, title: str, text: str, *, form: bool = False) -> flask.Response:
    page = _PAGE.format(title=title, text=text, form=_FORM if form else "")
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return flask.make_response(str(page), status, headers)
