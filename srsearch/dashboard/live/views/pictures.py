"""What networks of the front make of a photo, beside HR and bicubic upscaling."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from srsearch.dashboard.crops import (
    Picture,
    Place,
    described,
    evenly,
    photos,
    references,
    source_of,
    upscaled,
)
from srsearch.dashboard.formats import cell
from srsearch.dashboard.live.components import Control, Option, Page, chips, link, note, section
from srsearch.dashboard.live.views import Occasion, budget_controls, only_control
from srsearch.errors import InputError
from srsearch.search.checkpoints import Checkpoints
from srsearch.store.changes import FollowedTrial

_MOST = 6
_PLACES = {"start": 0.0, "quarter": 0.25, "": 0.5, "three_quarters": 0.75, "end": 1.0}


@dataclass(frozen=True)
class _Kept:
    """A finished design whose weights are kept."""

    row: FollowedTrial
    path: Path


@dataclass(frozen=True)
class _Shot:
    """A picture with its name."""

    name: str
    title: Component | str
    picture: Picture


def pictures(occasion: Occasion) -> Page:
    """Pieces of a photo by each network, with one zoom for all, and a wipe between two."""
    page, snapshot, address = Page([]), occasion.snapshot, occasion.address
    if not len(snapshot.done):
        page.children.append(html.P("No design has finished training yet.", className="nothing"))
        return page
    kept = _kept(occasion)
    only = only_control(occasion)
    page.controls = [*budget_controls(occasion), *([only] if only else [])]
    page.children += [each for each in [chips(address, occasion.counted)] if each is not None]
    if not kept:
        page.children.append(_without_weights(occasion))
        return page
    try:
        shots, place, failed = _shots(occasion, kept)
    except InputError as error:
        page.children.append(html.P(f"There are no pictures: {error}.", className="nothing", role="status"))
        return page
    page.controls = [*_controls(occasion, place, shots), *page.controls]
    steps = snapshot.study.recipe.get("steps")
    page.children.append(
        note(
            html.Strong("Briefly trained networks. "),
            f"They were trained{f' for {steps} steps' if steps else ' briefly'} to tell designs apart. In full "
            "training they become much better, and may change places. PSNR is of the piece shown, not of all photos.",
        )
    )
    failed += [(f"trial {number}", "no weights of it are kept") for number in _without(occasion, kept)]
    for name, reason in failed:
        page.children.append(html.P(f"{name} is not shown: {reason}.", className="quiet"))
    page.children.append(_gallery(shots))
    page.children.append(_wipe(occasion, shots))
    return page


def _kept(occasion: Occasion) -> list[_Kept]:
    """Designs of the front, in the selection and budget, with weights; at most six, evenly along the front."""
    snapshot = occasion.snapshot
    place = Checkpoints(occasion.watcher.store, snapshot.study)
    front = occasion.address.within(occasion.address.selected(snapshot.plain_front()))
    rows = [row for number in front["trial"] if (row := snapshot.row(int(number))) is not None and row.key]
    found = [_Kept(row, path) for row in rows if (path := _path(place, row, snapshot.study.seed)).is_file()]
    if occasion.address.trial is not None:
        row = snapshot.row(occasion.address.trial)
        chosen = [] if row is None or not row.key else [_Kept(row, _path(place, row, snapshot.study.seed))]
        chosen = [each for each in chosen if each.path.is_file() and each.row not in rows]
    else:
        chosen = []
    most = _MOST - len(chosen)
    return [*chosen, *evenly(found, most)]


def _without(occasion: Occasion, kept: list[_Kept]) -> list[int]:
    """Numbers of the front's designs, in the selection and budget, that have no weights; none where too many have."""
    front = occasion.address.within(occasion.address.selected(occasion.snapshot.plain_front()))
    shown = {each.row.number for each in kept}
    return [] if len(kept) >= _MOST else [int(number) for number in front["trial"] if int(number) not in shown][:_MOST]


def _path(place: Checkpoints, row: FollowedTrial, seed: int) -> Path:
    return place.path(row.key or "", seed if row.evaluated_seed is None else row.evaluated_seed)


def _without_weights(occasion: Occasion) -> Component:
    snapshot = occasion.snapshot
    folder = Checkpoints(occasion.watcher.store, snapshot.study).folder
    if snapshot.study.recipe.get("evaluator") == "synthetic":
        why = "The synthetic evaluator trains nothing, so there are no networks to show."
    else:
        why = (
            "A search keeps those of its front there; a database that was copied without this folder has none, nor "
            "have designs whose result was taken from another study."
        )
    return html.Div(
        [
            html.P(html.Strong("No weights of this front are kept.")),
            html.P(["They would be in ", html.Code(str(folder)), f". {why}"]),
        ],
        className="nothing",
        role="status",
    )


def _shots(occasion: Occasion, kept: list[_Kept]) -> tuple[list[_Shot], Place, list[tuple[str, str]]]:
    source = source_of(occasion.snapshot.study)
    names = list(photos(source))
    place = Place(
        occasion.address.chosen("photo", names, names[0]),
        _PLACES[occasion.address.chosen("across", _PLACES, "")],
        _PLACES[occasion.address.chosen("down", _PLACES, "")],
    )
    hr, bicubic = references(source, place)
    shots = [_Shot("HR", "HR, the photo", hr), _Shot("bicubic", "bicubic", bicubic)]
    failed = []
    for each in kept:
        name = f"trial {each.row.number}"
        title = html.Span(
            [
                link(name, occasion.address, view="design", trial=each.row.number),
                f", {cell('mult_adds', each.row.mult_adds)} Mult-Adds",
            ]
        )
        try:
            description = occasion.watcher.design(each.row.key or "") or {}
            shots.append(_Shot(name, title, upscaled(each.path, description, source, place)))
        except InputError as error:
            failed.append((name, str(error)))
    return shots, place, failed


def _controls(occasion: Occasion, place: Place, shots: list[_Shot]) -> list[Control]:
    study = occasion.snapshot.study
    names = list((study.data.get("validation") or {}).get("photos", [])) if isinstance(study.data, dict) else []
    names = names or [place.photo]
    across = ("left edge", "left", "middle", "right", "right edge")
    down = ("upper edge", "up", "middle", "down", "lower edge")
    words = [name for name, value in _PLACES.items()]
    chosen = [next(name for name, at in _PLACES.items() if at == value) for value in (place.across, place.down)]
    options = tuple(Option(shot.name, shot.name) for shot in shots)
    first, second = _two(occasion, shots)
    return [
        Control("photo", "Photo", "select", place.photo, tuple(Option(n, n) for n in names), group="Picture"),
        Control("across", "Across", "select", chosen[0], tuple(map(Option, words, across)), group="Picture"),
        Control("down", "Down", "select", chosen[1], tuple(map(Option, words, down)), group="Picture"),
        Control("a", "Wipe from", "select", first.name, options, group="Picture"),
        Control("b", "to", "select", second.name, options, group="Picture"),
    ]


def _two(occasion: Occasion, shots: list[_Shot]) -> tuple[_Shot, _Shot]:
    by_name = {shot.name: shot for shot in shots}
    names = list(by_name)
    a = occasion.address.chosen("a", names, "bicubic")
    return by_name[a], by_name[occasion.address.chosen("b", names, names[-1])]


def _gallery(shots: list[_Shot]) -> Component:
    return section(
        "Side by side",
        html.Div(
            [
                html.Label("Zoom", htmlFor="zoom"),
                dcc.Input(id="zoom", type="range", min=1, max=8, step=0.25, value=1),
                html.Span("Drag a picture to move all; the arrow keys move the one in focus."),
            ],
            className="steer",
        ),
        html.Div([_figure(shot) for shot in shots], className="gallery"),
    )


def _figure(shot: _Shot) -> Component:
    psnr = "" if shot.picture.psnr is None else f"{shot.picture.psnr:.2f} dB"
    image = html.Img(src=shot.picture.image, alt=described(shot.name, shot.picture), draggable="false")
    return html.Figure(
        [
            html.Div(image, className="lens", tabIndex=0),
            html.Figcaption([shot.title, html.Strong(f" {psnr}") if psnr else ""]),
        ]
    )


def _wipe(occasion: Occasion, shots: list[_Shot]) -> Component:
    first, second = _two(occasion, shots)
    images: list[Any] = [
        html.Img(src=second.picture.image, alt=f"by {second.name}", draggable="false"),
        html.Div(html.Img(src=first.picture.image, alt=f"by {first.name}", draggable="false"), className="above"),
    ]
    return section(
        "Wipe",
        html.Div(
            [
                html.Label(f"{first.name} at the left, {second.name} at the right", htmlFor="wipe"),
                dcc.Input(id="wipe", type="range", min=0, max=100, step=1, value=50),
            ],
            className="steer",
        ),
        html.Div(images, className="lens wipe", tabIndex=0),
    )
