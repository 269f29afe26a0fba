"""`srsearch space`, `count` and `catalogue`: the designs that can be built, and their costs."""

from __future__ import annotations

import click

from srsearch.cli.catalogue_tables import print_catalogue, print_published
from srsearch.cli.designs import design_named
from srsearch.cli.options import WholeType, budget_options, json_option, plugin_option, storage_option
from srsearch.cli.printing import print_json
from srsearch.cli.space_tables import (
    by_scale_record,
    image_text,
    part_records,
    print_conventions,
    print_cost,
    print_parts,
    print_space,
    print_spaces,
)
from srsearch.errors import WorkError


@click.command(short_help="Describe a search space before any training.")
@click.argument("space", required=False)
@budget_options
@click.option("--parts", is_flag=True, help="List all parts with their options.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of space files, for your editor.")
@plugin_option
@json_option
def space(
    space: str | None,
    max_mult_adds: int | None,
    max_params: int | None,
    parts: bool,
    schema: bool,
    as_json: bool,
) -> None:
    """Describe SPACE before any training: its axes, number of designs and costs.

    Without SPACE, list the spaces that come with srsearch.
    """
    from srsearch import space as spaces

    if schema:
        print_json(spaces.json_schema())
    elif parts:
        records = part_records()
        print_json(records) if as_json else print_parts(records)
    elif space is None:
        shipped = {name: spaces.Space.from_yaml(name).about for name in spaces.shipped_spaces()}
        print_json(shipped) if as_json else print_spaces(shipped)
    else:
        opened = spaces.Space.from_yaml(space).with_budget(max_mult_adds=max_mult_adds, max_params=max_params)
        report = opened.report()
        if as_json:
            axes = [{"name": a.name, "values": list(a.values), "under": a.condition} for a in opened.axes]
            about = {"name": opened.name, "scale": opened.scale}
            if len(opened.scales) > 1:
                about["scales"] = list(opened.scales)
            print_json({**about, "budget": opened.budget, "axes": axes, **report.to_dict()})
        else:
            print_space(opened, report)


@click.command(short_help="Count the parameters and Mult-Adds of a design.")
@click.argument("design", required=False)
@click.option("--scale", type=WholeType(), help="Upscaling factor, for a published name or a multi-scale design.")
@click.option("--multi-scale", is_flag=True, help="For a published name: include the upsamplers for x2, x3 and x4.")
@click.option("--convention", default="ours", show_default=True, help="Counting convention; --conventions lists them.")
@click.option(
    "--at", metavar="WxH", help="Size of the output image [default: the convention's; for STUDY:TRIAL the study's]."
)
@click.option("--verify", is_flag=True, help="Also build the network and compare with fvcore's count.")
@click.option("--conventions", is_flag=True, help="List the counting conventions.")
@plugin_option
@storage_option
@json_option
def count(
    design: str | None,
    scale: int | None,
    multi_scale: bool,
    convention: str,
    at: str | None,
    verify: bool,
    conventions: bool,
    storage: str | None,
    as_json: bool,
) -> None:
    """Count the parameters and Mult-Adds of DESIGN: a published name, a design file, or STUDY:TRIAL."""
    import dataclasses

    from srsearch import cost as costs
    from srsearch.quantity import parse_output_size

    if conventions:
        listed = [costs.convention(name) for name in costs.convention_names()]
        if as_json:
            print_json([{"name": c.name, "image": image_text(c), "about": c.about} for c in listed])
        else:
            print_conventions(listed)
        return
    if design is None:
        raise click.UsageError("Missing argument 'DESIGN'.")
    way = costs.convention(convention)
    described, at_scale, usual = design_named(design, scale, multi_scale, storage)
    # A study's image, unless the convention fixes the LR image.
    size = at or (usual if way.lr is None else None)
    if size is not None:
        way = way.at(parse_output_size(size))
    counted = costs.count(described, scale=at_scale, convention=way)
    checked = []
    if verify:
        from srsearch.cost.verify import verify as verified

        checked = [verified(described, each, way) for each in described.scales]
    if as_json:
        width, height = way.output if way.lr is None else (side * counted.scale for side in way.lr)
        print_json(
            {
                "key": described.key,
                "scale": counted.scale,
                "convention": convention,
                "output": f"{width}x{height}",
                "params": counted.params,
                "mult_adds": counted.mult_adds,
                "activations": counted.activations,
                **by_scale_record(counted),
                "parts": [dataclasses.asdict(line) for line in counted.lines],
                **({"verified": [each.record() for each in checked]} if verify else {}),
            }
        )
    else:
        print_cost(design, counted)
        for each in checked:
            if each.agrees:
                click.echo(str(each))
    wrong = [str(each) for each in checked if not each.agrees]
    if wrong:
        raise WorkError("; ".join(wrong))


@click.command(short_help="Compare the published networks' printed costs with ours.")
@click.option("--paper", metavar="NAME", help="Show one paper only: pcarn, csrcnn, efficiency, s-lwsr or prosrn.")
@click.option("--convention", metavar="NAME", help="Counting convention for our own figures [default: ours].")
@click.option("--names", is_flag=True, help="List only the names of the networks.")
@json_option
def catalogue(paper: str | None, convention: str | None, names: bool, as_json: bool) -> None:
    """Compare the networks of five papers, rebuilt here: printed costs beside ours, and printed quality.

    Each network is counted under its paper's convention and under ours. Networks of other authors that the papers
    compare with are listed, but not rebuilt.
    """
    from srsearch import cost as costs
    from srsearch.architecture import catalogue as networks
    from srsearch.cost import reproduction

    papers = reproduction.PAPERS if paper is None else (reproduction.of_paper(paper),)
    counted = costs.convention("ours" if convention is None else convention)
    if names:
        published = [each for name in networks.names() if (each := networks.published(name)).paper in papers]
        if as_json:
            about = ("name", "paper", "scales", "multi_scale", "printed", "about")
            print_json([{field: getattr(each, field) for field in about} for each in published])
        else:
            print_published(published)
        return
    rows = [row for row in reproduction.reproductions() if row.printed.paper in papers]
    if as_json:
        print_json([row.record(None if convention is None else counted) for row in rows])
    else:
        print_catalogue(papers, rows, reproduction.unpriced(), counted)
