"""What the argument MODEL of a command names: a network with weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srsearch.cli.options import open_store
from srsearch.errors import InputError

if TYPE_CHECKING:
    from srsearch.architecture import Model
    from srsearch.store import Store, TrialRecord

BICUBIC = "bicubic"

as_option = click.option(
    "--as",
    "as_network",
    metavar="NAME",
    help="The published network whose official weights MODEL holds, such as pcarn-m [default: recognised].",
)

_CHECKPOINTS = "srsearch.checkpoints"
"""Where a context's ``meta`` has the place of the checkpoints."""


def _note_checkpoints(ctx: click.Context, param: click.Parameter, place: str | None) -> None:
    ctx.meta[_CHECKPOINTS] = place


checkpoints_option = click.option(
    "--checkpoints",
    expose_value=False,
    callback=_note_checkpoints,
    metavar="PLACE",
    help="Where the weights of STUDY:TRIAL are, if its `srsearch run` was given --checkpoints PLACE.",
)


def model_named(
    text: str, *, storage: str | None = None, as_network: str | None = None, scale: int | None = None
) -> Model:
    """The network that MODEL names, with its weights.

    Args:
        text: A model file, a file of official weights, STUDY:TRIAL of a trial whose weights were saved, or ``bicubic``.
        storage: The database of STUDY.
        as_network: The published network whose official weights the file holds; None: it is recognised.
        scale: The scale that it is wanted for; None: any.

    Raises:
        InputError: There is no such model, it cannot be read, or it does not upscale by that factor.
    """
    model = _model(text, storage, as_network, scale)
    scales = tuple(getattr(model.network, "scales", ()))
    if scale is not None and scale not in scales:
        raise InputError(f"{text} upscales by {', '.join(f'x{each}' for each in scales)}, not by x{scale}")
    return model


def scale_of(model: Model, scale: int | None) -> int:
    """The scale that a model is used at: the one given, else its only one.

    Raises:
        InputError: It has several, and none is given.
    """
    scales = tuple(getattr(model.network, "scales", ()))
    if scale is None and len(scales) > 1:
        raise InputError(
            f"{model.name} upscales by {', '.join(f'x{each}' for each in scales)}: choose one with --scale"
        )
    return scales[0] if scale is None else scale


def _model(text: str, storage: str | None, as_network: str | None, scale: int | None) -> Model:
    from srsearch.architecture import Bicubic, Model, load_model
    from srsearch.architecture.design import SCALES
    from srsearch.architecture.model_file import holds_design
    from srsearch.quantity import parse_natural
    from srsearch.space.source import exists

    if text == BICUBIC:
        return Model(BICUBIC, None, Bicubic(SCALES if scale is None else (scale,)).eval())
    file = Path(text).expanduser()
    if exists(file):
        if as_network is None and holds_design(file):
            return load_model(file)
        return _official(file, as_network)
    study, colon, number = text.rpartition(":")
    trial = parse_natural(number)
    if colon and trial is not None:
        with open_store(storage) as store:
            return _of_trial(store, study, trial)
    if file.is_dir():
        raise InputError(f"{text} is a folder; a model is a file, STUDY:TRIAL or {BICUBIC}")
    raise InputError(
        f"there is no model {text!r}: a model is a file (*.safetensors of srsearch, or official weights), STUDY:TRIAL "
        f"with the number of a trial, or {BICUBIC}"
    )


def _official(file: Path, name: str | None) -> Model:
    from srsearch.architecture import Model, load_official

    official = load_official(file, name)
    facts = {"source": f"official weights of {official.name}, {official.layout.source}"}
    return Model(file.stem, official.design, official.network.eval(), facts)


def _of_trial(store: Store, study: str, number: int) -> Model:
    from srsearch.architecture import Architecture, Model, build
    from srsearch.search.checkpoint_copy import kept, without_secrets
    from srsearch.search.checkpoints import Checkpoints
    from srsearch.training.checkpoint import Checkpoint

    record = store.study(study)
    trials = {each.number: each for each in store.trial_records(study)}
    if number not in trials:
        raise InputError(f"study {study!r} has no trial {number}; its trials are 0 to {len(trials) - 1}")
    context = click.get_current_context(silent=True)
    place = None if context is None else context.meta.get(_CHECKPOINTS)
    saved = Checkpoints(store, record, place)

    def identity(trial: TrialRecord) -> tuple[str, int]:
        return trial.key or "", record.seed if trial.seed is None else trial.seed

    trial = trials[number]
    where = saved.place(*identity(trial))
    with kept(where) as checkpoint:
        path = checkpoint.path if trial.state == "complete" and trial.key else None
        loaded = None if path is None else Checkpoint.load(path)
    if loaded is None:
        others = [each.number for each in trials.values() if each.state == "complete" and saved.has(*identity(each))]
        listed = f"trials {', '.join(map(str, others))}" if others else "none"
        elsewhere = "if the search was given --checkpoints, give the same one here" if place is None else ""
        raise InputError(
            f"trial {number} of study {study!r} has no saved weights; a search saves those of its front in "
            f"{without_secrets(saved.folder)}: {listed}{'; ' if elsewhere else ''}{elsewhere}"
        )
    design = Architecture.from_dict(trial.description)
    network = build(design, seed=0)
    try:
        network.load_state_dict(loaded.network)
    except RuntimeError as error:
        raise InputError(
            f"{without_secrets(where)}: are weights of another network: {str(error).splitlines()[0]}"
        ) from None
    return Model(f"{study}-{number}", design, network.eval(), _facts_of(trial, record.recipe, record.seed, study))


def _facts_of(trial: TrialRecord, recipe: Mapping[str, Any], seed: int, study: str) -> dict[str, Any]:
    return {
        "source": f"trial {trial.number} of the study {study}, after the short training of the search",
        "recipe": dict(recipe),
        "seed": seed if trial.seed is None else trial.seed,
        "results": [] if trial.psnr is None else [{"set": "validation", "psnr": trial.psnr, "ssim": trial.ssim}],
    }
