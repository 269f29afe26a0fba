"""The view of pictures: a photo upscaled by networks of the front, beside HR and bicubic upscaling."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from srsearch.dashboard.crops import (
    Place,
    evenly,
    photos,
    source_of,
)
from srsearch.dashboard.formats import cell
from srsearch.dashboard.live.components import Control, Option, Page, chips, empty, link, note, section
from srsearch.dashboard.live.views import ViewContext, budget_controls, selection_controls
from srsearch.dashboard.study_view import SavedNetwork, Shot, evaluated_seed, pictures_warning, shots
from srsearch.errors import InputError
from srsearch.objectives import COSTS, objective
from srsearch.search.checkpoints import Checkpoints
from srsearch.store.changes import FollowedTrial

_MOST = 6
_PLACES = {"start": 0.0, "quarter": 0.25, "": 0.5, "three_quarters": 0.75, "end": 1.0}


def pictures(context: ViewContext) -> Page:
    """A crop of a photo by each network, with one zoom for all, and a wipe between two of them."""
    page, snapshot, address = Page(), context.snapshot, context.address
    if not len(snapshot.done):
        page.children.append(empty())
        return page
    networks = _networks(context)
    page.controls = [*budget_controls(context), *selection_controls(context)]
    page.children += chips(address, context.counted)
    if not networks:
        page.children.append(_no_weights(context))
        return page
    try:
        made, place, failed = _shots(context, networks)
    except InputError as error:
        page.children.append(empty(f"There are no pictures: {error}."))
        return page
    page.controls = [*_controls(context, place, made), *page.controls]
    page.children.append(note(pictures_warning(snapshot.study)))
    failed += [(f"trial {number}", "its weights were not saved") for number in _without_weights(context, networks)]
    for name, reason in failed:
        page.children.append(html.P(f"{name} is not shown: {reason}.", className="quiet"))
    page.children.append(_gallery(context, made))
    page.children.append(_wipe(context, made))
    return page


def _networks(context: ViewContext) -> list[SavedNetwork]:
    """The chosen design and selected designs of the front that have weights; at most six, evenly along the front."""
    snapshot = context.snapshot
    saved = Checkpoints(context.watcher.store, snapshot.study)

    def with_weights(numbers: Iterable[int]) -> list[FollowedTrial]:
        rows = [row for number in numbers if (row := snapshot.row(number)) is not None and row.key]
        return [row for row in rows if path(row).is_file()]

    def path(row: FollowedTrial) -> Path:
        return saved.path(row.key or "", evaluated_seed(row, snapshot.study.seed))

    front = _front(context)
    chosen = context.address.trial
    first = with_weights([chosen]) if chosen is not None and chosen not in front else []
    rows = [*first, *evenly(with_weights(front), _MOST - len(first))]
    return [SavedNetwork(row.number, path(row), context.watcher.design(row.key or "") or {}) for row in rows]


def _front(context: ViewContext) -> list[int]:
    """Numbers of the front's designs, in the selection and budget."""
    front = context.address.within(context.address.selected(context.snapshot.plain_front()))
    return [int(number) for number in front["trial"]]


def _without_weights(context: ViewContext, networks: list[SavedNetwork]) -> list[int]:
    """Numbers of the front's designs that have no weights; empty where there are as many pictures as fit."""
    shown = {network.trial for network in networks}
    return [] if len(networks) >= _MOST else [number for number in _front(context) if number not in shown][:_MOST]


def _no_weights(context: ViewContext) -> Component:
    snapshot = context.snapshot
    folder = Checkpoints(context.watcher.store, snapshot.study).folder
    if snapshot.study.recipe.get("evaluator") == "synthetic":
        why = "The synthetic evaluator trains nothing, so there are no networks to show."
    else:
        why = (
            "A search saves the weights of its front there. They are missing where the database was copied without "
            "this folder, and for designs whose result was taken from another study."
        )
    return html.Div(
        [
            html.P(html.Strong("No weights of this front are saved.")),
            html.P(["The folder for them is ", html.Code(str(folder)), f". {why}"]),
        ],
        className="nothing",
        role="status",
    )


def _shots(context: ViewContext, networks: list[SavedNetwork]) -> tuple[list[Shot], Place, list[tuple[str, str]]]:
    source = source_of(context.snapshot.study)
    names = list(photos(source))
    place = Place(
        context.address.chosen("photo", names, names[0]),
        _PLACES[context.address.chosen("across", _PLACES, "")],
        _PLACES[context.address.chosen("down", _PLACES, "")],
    )
    made, failed = shots(source, place, networks)
    return made, place, failed


def _title(context: ViewContext, shot: Shot) -> Component | str:
    row = None if shot.trial is None else context.snapshot.row(shot.trial)
    if row is None:
        return "HR (the photo)" if shot.name == "HR" else shot.name
    opened = link(shot.name, context.address, view="design", trial=row.number)
    cost = objective(COSTS[0])
    return html.Span([opened, f", {cell(cost.name, getattr(row, cost.name))} {cost.noun}"])


def _controls(context: ViewContext, place: Place, shots: list[Shot]) -> list[Control]:
    study = context.snapshot.study
    names = list((study.data.get("validation") or {}).get("photos", [])) if isinstance(study.data, dict) else []
    names = names or [place.photo]
    across = ("left edge", "left", "center", "right", "right edge")
    down = ("top edge", "upper", "center", "lower", "bottom edge")
    words = [name for name, value in _PLACES.items()]
    chosen = [next(name for name, at in _PLACES.items() if at == value) for value in (place.across, place.down)]
    options = tuple(Option(shot.name, shot.name) for shot in shots)
    first, second = _two(context, shots)
    return [
        Control("photo", "Photo", "select", place.photo, tuple(Option(n, n) for n in names), group="Picture"),
        Control("across", "Horizontally", "select", chosen[0], tuple(map(Option, words, across)), group="Picture"),
        Control("down", "Vertically", "select", chosen[1], tuple(map(Option, words, down)), group="Picture"),
        Control("a", "Wipe from", "select", first.name, options, group="Picture"),
        Control("b", "Wipe to", "select", second.name, options, group="Picture"),
    ]


def _two(context: ViewContext, shots: list[Shot]) -> tuple[Shot, Shot]:
    by_name = {shot.name: shot for shot in shots}
    names = list(by_name)
    a = context.address.chosen("a", names, "bicubic")
    return by_name[a], by_name[context.address.chosen("b", names, names[-1])]


def _gallery(context: ViewContext, shots: list[Shot]) -> Component:
    return section(
        "Side by side",
        html.Div(
            [
                html.Label("Zoom", htmlFor="zoom"),
                dcc.Input(id="zoom", type="range", min=1, max=8, step=0.25, value=1),
                html.Span("Zoom in, then drag a picture to move all of them, or focus one and use the arrow keys."),
            ],
            className="steer",
        ),
        html.Div([_figure(context, shot) for shot in shots], className="gallery"),
    )


def _figure(context: ViewContext, shot: Shot) -> Component:
    psnr = "" if shot.picture.psnr is None else f"{shot.picture.psnr:.2f} dB"
    image = html.Img(src=shot.picture.image, alt=shot.described, draggable="false")
    return html.Figure(
        [
            html.Div(image, className="lens", tabIndex=0),
            html.Figcaption([_title(context, shot), html.Strong(f" {psnr}") if psnr else ""]),
        ]
    )


def _wipe(context: ViewContext, shots: list[Shot]) -> Component:
    first, second = _two(context, shots)
    images: list[Any] = [
        html.Img(src=second.picture.image, alt=f"by {second.name}", draggable="false"),
        html.Div(html.Img(src=first.picture.image, alt=f"by {first.name}", draggable="false"), className="above"),
    ]
    return section(
        "Wipe",
        html.Div(
            [
                html.Label(f"{first.name} on the left, {second.name} on the right", htmlFor="wipe"),
                dcc.Input(id="wipe", type="range", min=0, max=100, step=1, value=50),
            ],
            className="steer",
        ),
        html.Div(images, className="lens wipe", tabIndex=0),
    )
