"""The live pages: one Dash application over one database, which it only reads."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

import dash
import flask
from dash import ClientsideFunction, Input, Output, dcc, html
from dash.development.base_component import Component
from plotly.utils import PlotlyJSONEncoder
from threadpoolctl import threadpool_limits
from werkzeug.serving import BaseWSGIServer

from srsearch.dashboard.colours import css_colours
from srsearch.dashboard.live.access import guard
from srsearch.dashboard.live.address import Address
from srsearch.dashboard.live.components import Page, named
from srsearch.dashboard.live.listening import is_loopback, listen
from srsearch.dashboard.live.requests import check_requests
from srsearch.dashboard.live.snapshots import Watcher
from srsearch.dashboard.live.trainings import add_trainings
from srsearch.dashboard.live.views import ViewContext
from srsearch.dashboard.live.views.table import views
from srsearch.dashboard.study_view import scales_title
from srsearch.dashboard.vendored import plotly_js
from srsearch.errors import InputError, WorkError
from srsearch.plots._theme import exchange
from srsearch.text import csv_text, printable, well_formed

_NICENESS = 5
_SHARED_ASSETS = str(files("srsearch.dashboard") / "assets")
_PREPARED = ("overview", "front", "axes")

_INDEX = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>srsearch</title>
<link rel="icon" href="data:,">
<style>COLOURS</style>
<link rel="stylesheet" href="shared/base.css">
<link rel="stylesheet" href="shared/lens.css">
{%css%}
<script src="assets/before.js"></script>
<script src="shared/figures.js"></script>
<script src="shared/budget.js"></script>
<script src="shared/lens.js"></script>
<script src="plotly.min.js" defer></script>
</head>
<body>
<script type="application/json" id="palette">PALETTE</script>
{%app_entry%}
<footer>{%config%}{%scripts%}{%renderer%}</footer>
</body>
</html>"""


@dataclass(frozen=True)
class Shown:
    """A whole page.

    Attributes:
        head: The study's name and the navigation.
        page: The content below.
        title: The title of the window.
        problem: Why the page cannot be shown; empty where it can.
        status: What those are told of it who ask for data.
    """

    head: list[Component]
    page: Page
    title: str
    problem: str = ""
    status: int = 200


def application(watcher: Watcher, *, token: str | None = None) -> flask.Flask:
    """The WSGI application.

    Args:
        watcher: The database.
        token: The token that every request must have; None where only this machine can reach the server.
    """
    app = dash.Dash(
        "srsearch",
        assets_folder=str(files("srsearch.dashboard.live") / "assets"),
        serve_locally=True,
        update_title="",
        suppress_callback_exceptions=True,
        include_assets_files=True,
    )
    app.title = "srsearch"
    colours = json.dumps(exchange())
    index = _INDEX.replace("PALETTE", colours.replace("<", "\\u003c"))
    app.index_string = index.replace("COLOURS", css_colours())
    app.layout = _layout()
    app.callback(Output("page", "data"), Input("address", "data"), Input("version", "data"), prevent_initial_call=True)(
        lambda search, _: _answer(watcher, search)
    )
    in_browser: Callable[..., None] = app.clientside_callback
    in_browser(ClientsideFunction("srsearch", "begin"), Output("address", "data"), Input("begin", "data"))
    in_browser(ClientsideFunction("srsearch", "draw"), Output("drawn", "data"), Input("page", "data"))
    server: flask.Flask = app.server
    # A sub-path, from Dash's variables: what this server is asked for (DASH_URL_BASE_PATHNAME), and what browsers ask
    # for where a reverse proxy takes it off (DASH_REQUESTS_PATHNAME_PREFIX).
    server.config["APPLICATION_ROOT"] = app.config.routes_pathname_prefix
    server.config["SHOWN_ROOT"] = app.config.requests_pathname_prefix
    _add_routes(server, watcher)
    guard(server, token, [f"'{each}'" if not each.startswith("'") else each for each in app.csp_hashes()])
    check_requests(server)
    server.before_request(lambda: _prepare(watcher))
    return server


def _prepare(watcher: Watcher) -> None:
    """Start to compute the page while the browser loads the scripts."""
    address = Address.of(flask.request.query_string.decode())
    if flask.request.path == flask.current_app.config["APPLICATION_ROOT"] and address.view in _PREPARED:
        threading.Thread(target=show, args=(watcher, address), daemon=True).start()


def _layout() -> Component:
    """Empty elements that the page's script fills: React would rebuild the whole page on every change."""
    stores = [dcc.Store(id=name) for name in ("address", "version", "page", "drawn")]
    return html.Div(
        [
            dcc.Store(id="begin", data=1),
            *stores,
            html.A("Skip to the content", href="#content", className="skip"),
            html.Header(id="head"),
            html.Div(
                [
                    html.Aside(html.Form(id="controls-place", **named("What is shown"))),
                    html.Main(id="content", tabIndex=-1),
                ],
                className="frame",
            ),
        ]
    )


def _add_routes(server: flask.Flask, watcher: Watcher) -> None:
    # Sent in one piece: each chunk of a file would wait for whatever else the process computes.
    script = plotly_js().encode()

    def plotly() -> flask.Response:
        return flask.Response(script, mimetype="text/javascript", headers={"Cache-Control": "max-age=86400"})

    def version() -> flask.Response:
        text = _version(watcher, Address.of(flask.request.query_string.decode()))
        return flask.Response(well_formed(text), mimetype="text/plain")

    def data(name: str, kind: str) -> flask.Response:
        return _data(watcher, Address.of(flask.request.query_string.decode()), name, kind)

    def shared(name: str) -> flask.Response:
        return flask.send_from_directory(_SHARED_ASSETS, name, max_age=0)

    root = server.config["APPLICATION_ROOT"]
    server.add_url_rule(f"{root}shared/<name>", "shared", shared)
    server.add_url_rule(f"{root}plotly.min.js", "plotly", plotly)
    server.add_url_rule(f"{root}version", "version", version)
    server.add_url_rule(f"{root}data/<name>.<kind>", "data", data)


def _version(watcher: Watcher, address: Address) -> str:
    """A text that changes whenever the page changes."""
    try:
        names = watcher.names()
        trained = [(each.name, each.state, each.step, len(each.curve)) for each in watcher.trainings()]
        others = f"{len(names)} {hash(tuple(trained)):x}"
        study = address.study or next(iter(names), None)
        if study is None or study not in names:
            return f"no study of {others}"
        versions = [watcher.snapshot(name).version for name in (study, *address.compared) if name in names]
        return " ".join(map(str, [*versions, others]))
    except (Exception, SystemExit) as error:  # whatever it is, the page says it
        return f"{type(error).__name__}: {error}"


def _answer(watcher: Watcher, search: str | None) -> str:
    """The result of the page's only callback: JSON for its script."""
    address = Address.of(search)
    made = _version(watcher, address)  # read first, so that a change in between is noticed

    def told(shown: Shown) -> str:
        page = shown.page
        answer = {
            "search": search,
            "made": made,
            "title": shown.title,
            "head": shown.head,
            "content": page.children,
            "controls": [control.plain() for control in page.controls],
            "grids": {name: json.dumps(grid) for name, grid in page.grids.items()},
            "figures": page.figures,
            "budget": page.budget or {},
        }
        return json.dumps(answer, cls=PlotlyJSONEncoder)

    shown = show(watcher, address)
    try:
        return told(shown)
    except (Exception, SystemExit) as error:  # a plugin's view gave something else than a page
        return told(_failed(address, error, [], _damage(watcher)))


def show(watcher: Watcher, address: Address) -> Shown:
    """The page of a link; where something goes wrong, a page that says what."""
    try:
        names = watcher.names()
    except (InputError, WorkError) as error:
        return _problem(address, "The database cannot be read", f"{error}.", [], 503)
    except Exception:
        if (text := _damage(watcher)) is None:
            raise
        return _problem(address, "The database cannot be read", text, [], 503)
    if not names and (records := watcher.trainings()):
        page = Page()
        add_trainings(page, "trainings", "Full trainings in this database", records, address)
        return Shown(_brand(), page, "Trainings")
    if not names:
        text = (
            f"There is no study in {watcher.where} yet. Start one with `srsearch run lightweight_x4`; it appears here."
        )
        return _problem(address, "No study yet", text, names)
    study = address.study or names[0]
    if study not in names:
        return _problem(address, "No such study", f"There is no study {study!r} in {watcher.where}.", names)
    table = views()
    address = replace(address, study=study, view=address.view if address.view in table else next(iter(table)))
    view = table[address.view]
    try:
        context = ViewContext(address, watcher.snapshot(study), watcher)
        page = view.function(context)
        if not isinstance(page, Page):
            raise TypeError(f"it gave {type(page).__name__}, not a Page")
    except (InputError, WorkError) as error:
        return _problem(address, "This page cannot be shown", f"{error}.", names, 503)
    except (Exception, SystemExit) as error:
        return _failed(address, error, names, _damage(watcher))
    return Shown(_head(address, names, context), page, f"{view.title}, {study}")


def _failed(address: Address, error: BaseException, names: list[str], damage: str | None) -> Shown:
    """Readers get a page instead of a traceback; the server's output names the error."""
    told = printable(f"the view {address.view} of {address.study!r} failed: {type(error).__name__}: {error}"[:1000])
    print(f"srsearch: {told}", file=sys.stderr)
    text = "Something went wrong. The output of `srsearch dashboard` says more; the other views may work."
    return _problem(address, "This view cannot be shown", damage or text, names, 500)


def _damage(watcher: Watcher) -> str | None:
    """What is damaged in the database, if anything is."""
    from srsearch.search.damage import damage

    path = watcher.store.path
    error = None if path is None else damage(str(path))
    return None if error is None else f"{error}."


def _problem(address: Address, title: str, text: str, names: list[str], status: int = 404) -> Shown:
    children: list[Component] = [html.H1(title), html.P(text, role="alert")]
    if names:
        children.append(html.P("Studies in this database:"))
        children.append(html.Ul([html.Li(_study_link(name)) for name in names]))
    return Shown(_brand(), Page([html.Div(children, className="nothing")]), title, text, status)


def _study_link(name: str) -> Component:
    return html.A(name, href=Address(study=name).link(), className="inner")


def _brand() -> list[Component]:
    return [html.P(html.A("srsearch", href="?", className="inner"), className="brand")]


def _head(address: Address, names: list[str], context: ViewContext) -> list[Component]:
    study = context.snapshot.study
    other = [name for name in names if name != study.name]
    title = html.H1([study.name, html.Span(f" {scales_title(study)}", className="scale")])
    here: dict[str, Any] = {"aria-current": "page"}
    links = [
        html.A(
            view.title,
            href=address.link(view=name if name != "overview" else None),
            className="inner",
            **(here if name == address.view else {}),
        )
        for name, view in views().items()
    ]
    more = html.Details(
        [html.Summary("other studies"), html.Ul([html.Li(_study_link(name)) for name in other[:50]])],
        className="studies",
    )
    return [
        html.Div([*_brand(), title, *([more] if other else []), html.Span(id="live", role="status")], className="bar"),
        html.Nav(links, **named("Views")),
    ]


def _data(watcher: Watcher, address: Address, name: str, kind: str) -> flask.Response:
    """The response with all rows of a page's table."""
    shown = show(watcher, address)
    frame = shown.page.tables.get(name)
    if shown.problem:
        return flask.Response(f"{well_formed(shown.problem)}\n", status=shown.status, mimetype="text/plain")
    if frame is None or kind not in ("csv", "json"):
        return flask.Response("This page has no such table.\n", status=404, mimetype="text/plain")
    if kind == "csv":
        return flask.Response(csv_text(frame), mimetype="text/csv")
    return flask.Response(frame.to_json(orient="records", date_format="iso"), mimetype="application/json")


def make(storage: str | None, host: str, port: int, token: str | None) -> BaseWSGIServer:
    """Make a server that already listens.

    Args:
        storage: The database, as for `Store`.
        host: The address to listen on.
        port: The port; 0 takes a free one.
        token: The token that every request must have; required where other machines can reach the host.

    Raises:
        InputError: No such database, an address that cannot be listened on, no token where one is needed, or a
            plugin's view with a name that is taken.
    """
    if token is not None and not token.strip():
        raise InputError("the token is empty")
    if token is None and not is_loopback(host):
        raise InputError(
            f"other machines can reach {host}: set a --token that visitors must enter, or leave out --host to serve "
            "this machine only"
        )
    # The matrices are small, and a search on this machine needs the cores.
    threadpool_limits(1, user_api="blas")
    views()  # a plugin's view with a name that is taken ends the command here
    watcher = Watcher(storage)
    threading.Thread(target=watcher.warm, daemon=True).start()
    return listen(host, port, application(watcher, token=token))


def serve(storage: str | None, host: str, port: int, token: str | None, say: Callable[[str], None]) -> None:
    """Serve until interrupted.

    Args:
        storage: The database, as for `Store`.
        host: The address to listen on.
        port: The port; 0 takes a free one.
        token: The token that every request must have; None: none.
        say: Prints a line for the user.

    Raises:
        InputError: See `make`.
    """
    server = make(storage, host, port, token)
    assert isinstance(server.app, flask.Flask)
    root, seen = (server.app.config[name] for name in ("APPLICATION_ROOT", "SHOWN_ROOT"))
    if hasattr(os, "nice"):
        with suppress(OSError):
            os.nice(_NICENESS)  # a search on this machine has priority
    shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
    say(f"dashboard: http://{shown}:{server.server_port}{root}")
    if seen != root:
        say(f"Behind the reverse proxy, its path is {seen}")
    if not is_loopback(host):
        say("Anyone who knows the token can open it. The token and the pages travel over the network unencrypted.")
    say("Press Ctrl-C to stop.")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        say("")
    finally:
        server.server_close()
