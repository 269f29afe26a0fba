"""`srsearch studies`."""

from __future__ import annotations

import click

from srsearch.cli.options import group_option, json_option, open_store, plugin_option, storage_option
from srsearch.cli.printing import plain, print_json, records
from srsearch.cli.tables import print_studies
from srsearch.errors import InputError, WorkError
from srsearch.text import printable


@click.group(invoke_without_command=True, short_help="List, show, copy, rename, delete or export studies.")
@storage_option
@json_option
@click.pass_context
def studies(ctx: click.Context, storage: str | None, as_json: bool) -> None:
    """List the studies in a database; show, copy, rename, delete or export one."""
    ctx.obj = {"storage": storage, "as_json": as_json}  # options may also stand before the subcommand
    if ctx.invoked_subcommand is None:
        with open_store(storage) as store:
            frame, where = store.studies(), store.where
        if as_json:
            print_json(records(frame))
        else:
            print_studies(frame, where)


@studies.command(short_help="Show the settings of a study.")
@click.argument("study")
@storage_option
@json_option
def show(study: str, storage: str | None, as_json: bool) -> None:
    """Show the settings of STUDY: space, budget, recipe, data and seed."""
    import dataclasses

    with open_store(storage) as store:
        settings = plain(dataclasses.asdict(store.study(study)) | {"storage": store.where})
    if as_json or group_option("as_json"):
        print_json(settings)
    else:
        import yaml

        # The space as it was searched, with the options of the command line; not the text of its file.
        del settings["space_text"]
        click.echo(yaml.safe_dump(settings, sort_keys=False), nl=False)


@studies.command(short_help="Rename a study.")
@click.argument("study")
@click.argument("new_name")
@storage_option
def rename(study: str, new_name: str, storage: str | None) -> None:
    """Rename STUDY to NEW_NAME."""
    with open_store(storage, write=True, must_exist=True) as store:
        store.rename_study(study, new_name)
    click.echo(printable(f"{study} is now {new_name}"), err=True)


@studies.command(short_help="Copy a study to another database.")
@click.argument("study")
@click.argument("url")
@click.option("--name", help="Name of the copy [default: the same].")
@storage_option
def copy(study: str, url: str, name: str | None, storage: str | None) -> None:
    """Copy STUDY with its trials and evaluations to the database at URL, which is created if it is missing.

    Evaluations that the other database has already are not duplicated, so you can merge databases this way.
    """
    from srsearch.store import Store

    with open_store(storage) as store, Store(url) as target:
        if store.where == target.where and (name or study) == study:
            raise InputError(f"{study!r} is in {store.where} already; give it another --name")
        try:
            number = store.copy_study(study, target, name=name)
        except WorkError as error:  # the other database may have refused what is damaged in this one
            from srsearch.search.damage import damage

            raise (damage(store.where) or error) from None
        click.echo(printable(f"{name or study} with {number} trials is in {target.where}"), err=True)


@studies.command(short_help="Delete a study.")
@click.argument("study")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--checkpoints", metavar="PLACE", help="Value of --checkpoints that `srsearch run` had.")
@storage_option
def delete(study: str, yes: bool, checkpoints: str | None, storage: str | None) -> None:
    """Delete STUDY with its trials and checkpoints. Its evaluations stay, for other studies to reuse."""
    from srsearch.search.checkpoints import Checkpoints

    with open_store(storage, write=True, must_exist=True) as store:
        record = store.study(study)
        if not yes:
            many = store.count_trials(study)
            click.confirm(f"Delete {study!r} with {many} trials from {store.where}?", abort=True, err=True)
        store.delete_study(study)
        Checkpoints(store, record, checkpoints).remove()
    click.echo(printable(f"{study} is deleted"), err=True)


@studies.command("export-optuna", short_help="Export a study to an Optuna database.")
@click.argument("study")
@click.argument("url")
@click.option("--name", help="Name of the Optuna study [default: the study's].")
@plugin_option
@storage_option
def export_optuna(study: str, url: str, name: str | None, storage: str | None) -> None:
    """Export STUDY as an Optuna study to the database at URL, for optuna-dashboard and Optuna's other tools."""
    from srsearch.space import Space
    from srsearch.store.credentials import shown
    from srsearch.store.place import Place

    with open_store(storage) as store:
        # Its axes do not depend on how it was searched: seeds were once larger than a space may have now.
        axes = Space.from_dict({**store.study(study).space, "search": {}}).axes
        store.export_optuna(study, url, name=name, choices={axis.name: axis.values for axis in axes})
    where = shown(Place.of(url).url)
    click.echo(printable(f"{name or study} is in {where}; look at it with: optuna-dashboard {where}"), err=True)
