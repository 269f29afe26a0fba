"""The table of views: those that come with srsearch, then those that plugins have registered."""

from __future__ import annotations

from collections.abc import Mapping

from srsearch.dashboard.live.views.axes import axes
from srsearch.dashboard.live.views.compare import compare
from srsearch.dashboard.live.views.design import design
from srsearch.dashboard.live.views.front import front
from srsearch.dashboard.live.views.noise import noise
from srsearch.dashboard.live.views.overview import overview
from srsearch.dashboard.live.views.pictures import pictures
from srsearch.dashboard.live.views.trainings import trainings
from srsearch.errors import InputError
from srsearch.extensions import Extension, extensions

_BUILT_IN = (
    Extension("overview", "Overview", overview),
    Extension("front", "Front", front),
    Extension("design", "Design", design),
    Extension("axes", "Axes", axes),
    Extension("noise", "Noise", noise),
    Extension("pictures", "Pictures", pictures),
    Extension("compare", "Compare", compare),
    Extension("trainings", "Trainings", trainings),
)
"""The function of a view takes a `ViewContext` and returns a `Page`."""


def views() -> Mapping[str, Extension]:
    """Every view by its name in links, in the order of the navigation. The first is shown where a link names none.

    Raises:
        InputError: A plugin's view has the name of one that comes with srsearch.
    """
    table = {view.name: view for view in _BUILT_IN}
    for name, view in extensions("view").items():
        if name in table:
            raise InputError(f"a plugin registers a view named {name!r}, which srsearch has already; rename it")
        table[name] = view
    return table
