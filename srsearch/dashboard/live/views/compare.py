"""The comparison of studies: their fronts and hypervolumes."""

from __future__ import annotations

import pandas as pd
from dash import html
from dash.development.base_component import Component

from srsearch import plots
from srsearch.analysis import hypervolume_steps
from srsearch.dashboard.live.components import Control, Option, Page, link, note, place, section, table
from srsearch.dashboard.live.snapshots import Snapshot
from srsearch.dashboard.live.views import ViewContext, measure_controls
from srsearch.dashboard.study_view import Caveat
from srsearch.errors import InputError
from srsearch.objectives import objective

_MOST_STUDIES = 12


def compare(context: ViewContext) -> Page:
    """Fronts and hypervolumes of the study and of those named in the link."""
    page, address = Page(), context.address
    names = context.watcher.names()
    others = [name for name in address.compared if name in names and name != context.snapshot.study.name]
    shown = {context.snapshot.study.name: context.snapshot}
    for name in others[: _MOST_STUDIES - 1]:
        shown[name] = context.watcher.snapshot(name)
    left = [name for name in names if name not in shown]
    options = (Option("", "choose a study"), *(Option(name, name) for name in left))
    controls = [Control("with", "Compare with", "select", "", options, group="Studies", adds=True)] if left else []
    page.controls = [*controls, *(measure_controls(context) if len(context.snapshot.done) else [])]
    page.children.append(_chosen(context, list(shown), others=bool(left)))
    differences = _differences(shown)
    if differences:
        page.children.append(note(Caveat("Different conditions.", differences)))
    counted = {name: each for name, each in shown.items() if context.cost in each.objectives}
    fronts = {name: each.plain_front(context.quality, context.cost) for name, each in counted.items() if len(each.done)}
    page.draw("fronts", plots.fronts(fronts, cost=context.cost, quality=context.quality))
    volumes = _volumes(shown, context.snapshot)
    page.draw("volumes", plots.hypervolumes(volumes))
    left_out = ", ".join(name for name in shown if name not in counted)
    lead = f"{objective(context.cost).label} is not an objective of {left_out}: no front is shown." if left_out else ""
    page.children.append(
        section(
            "Fronts",
            place("fronts", "The fronts of the studies as step lines.", 460),
            lead=lead,
        )
    )
    page.children.append(
        section(
            "Hypervolume",
            place("volumes", "Hypervolume of each study by finished evaluation.", 340),
            lead=f"All studies use the objectives and the reference point of {context.snapshot.study.name}.",
        )
    )
    frame = pd.DataFrame(
        [
            {
                "name": name,
                "complete": len(each.done),
                "front": len(fronts[name]) if name in fronts else pd.NA,
                "best": each.done["psnr"].max() if len(each.done) else pd.NA,
                "hypervolume": volumes[name]["hypervolume"].iloc[-1] if len(volumes[name]) else pd.NA,
                "sampler": each.study.sampler,
                "seed": each.study.seed,
                "data": each.study.data_fingerprint[:8],
                "space": each.study.space_hash[:8],
            }
            for name, each in shown.items()
        ]
    )
    heads = {
        "name": "Study",
        "complete": "Finished",
        "front": "On the front",
        "best": f"Best {objective('psnr').axis_title}",
    }
    heads |= {"hypervolume": "Hypervolume", "sampler": "Sampler", "seed": "Seed", "data": "Data", "space": "Settings"}
    links = {"name": "study"}
    page.children.append(
        section(
            "Side by side",
            table(
                page, "compared", "The studies compared", frame, list(frame.columns), address, heads=heads, links=links
            ),
        )
    )
    return page


def _chosen(context: ViewContext, names: list[str], *, others: bool) -> Component:
    inside: list[Component | str] = [html.Strong(names[0])]
    for name in names[1:]:
        rest = [each for each in names[1:] if each != name]
        inside.append(link(f"{name} \N{MULTIPLICATION SIGN}", context.address, **{"with": rest}))
    if len(names) == 1:
        text = "Choose a study in the sidebar to compare with." if others else "This database has no other study."
        inside.append(html.Span(text, className="quiet"))
    return html.P(inside, className="chips", role="status")


def _differences(shown: dict[str, Snapshot]) -> str:
    records = [each.study for each in shown.values()]
    different = []
    if len({record.scale for record in records}) > 1:
        different.append("scales")
    if len({record.data_fingerprint for record in records}) > 1:
        different.append("photos")
    if len({str(sorted(record.recipe.items())) for record in records}) > 1:
        different.append("recipes")
    if not different:
        return ""
    return f"These studies have different {' and '.join(different)}: their PSNR cannot be compared directly."


def _volumes(shown: dict[str, Snapshot], first: Snapshot) -> dict[str, pd.DataFrame]:
    volumes = {}
    for name, each in shown.items():
        try:
            volumes[name] = hypervolume_steps(each.done, first.study.objectives, first.study.reference)
        except InputError:  # an objective that this study did not measure
            volumes[name] = pd.DataFrame(columns=["evaluation", "trial", "hypervolume"])
    return volumes
