"""The commands about the map itself: check it, review it, draw it, compare it, propose one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from auditor.cli.options import (
    DEFAULT_MAP,
    DRIFT,
    UNVERIFIED,
    USAGE,
    JsonOption,
    MapOption,
    app,
    fail,
    load,
    load_systems,
    need_map,
    own_ledger,
    path_option,
    say,
    write,
)

if TYPE_CHECKING:
    from auditor.systems.reader import SystemReader


@app.command()
def check(map_: MapOption = DEFAULT_MAP, as_json: JsonOption = False) -> None:
    """Validate the map: every mistake, and every word that changes nothing, as file:line:column path: message."""
    from dataclasses import asdict

    from auditor.cli.documents import print_json
    from auditor.escaping import visible
    from auditor.map.loader import check_map
    from auditor.map.problems import MORE, MapError
    from probes.wording import counted

    need_map(map_)
    try:
        loaded, idle = check_map(map_, ledger=own_ledger())
    except MapError as error:
        if as_json:
            problems = [asdict(problem) for problem in error.problems]
            print_json({"valid": False, "problems": problems, "more": error.more})
        else:
            for problem in error.problems:
                write(visible(problem) + "\n")
            if error.more:
                say(MORE)
        raise typer.Exit(USAGE) from None
    counts = {
        "systems": len(loaded.systems),
        "data_types": len(loaded.data_types),
        "flows": len(loaded.flows),
        "queues": len(loaded.queues),
    }
    if as_json:
        print_json({"valid": True, "problems": [], "remarks": [asdict(each) for each in idle], **counts})
    else:
        for each in idle:
            write(visible(f"{each.file}:{each.line}:{each.column} {each.path}: note: {each.message}") + "\n")
        typer.echo(
            "valid: " + ", ".join(counted(count, name[:-1].replace("_", " ")) for name, count in counts.items())
        )


@app.command()
def review(
    map_: MapOption = DEFAULT_MAP,
    fail_on: Annotated[str, typer.Option("--fail-on", help="high, medium, low or never.")] = "high",
    as_json: JsonOption = False,
) -> None:
    """Review the map's design: two writers without a policy, cycles, no dead letters, flows without consumers."""
    from auditor.cli.documents import print_json
    from auditor.cli.rows import print_rows
    from auditor.map.review import Severity
    from auditor.map.review import review as examine
    from probes.wording import did_you_mean

    severities = [severity.value for severity in Severity]
    if fail_on not in {*severities, "never"}:
        fail(f"--fail-on: unknown severity {fail_on!r}{did_you_mean(fail_on, [*severities, 'never'])}")
    remarks = examine(load(map_))
    if as_json:
        print_json([remark.as_row() for remark in remarks])
    elif remarks:
        print_rows("", [remark.as_row() for remark in remarks])
    else:
        say("no remarks")
    if fail_on != "never" and any(remark.severity.reaches(Severity(fail_on)) for remark in remarks):
        raise typer.Exit(DRIFT)


@app.command()
def schema() -> None:
    """Print the map's JSON Schema, for completion in editors."""
    from auditor.cli.documents import print_json
    from auditor.map.schema import json_schema

    print_json(json_schema())


@app.command(name="map")
def map_document(
    map_: MapOption = DEFAULT_MAP,
    format_: Annotated[
        Literal["md", "mermaid", "svg", "yaml"],
        typer.Option(
            "--format", help="md, mermaid, svg, or yaml: the effective map, with defaults and without secrets."
        ),
    ] = "md",
    diff: Annotated[
        Path | None,
        path_option("--diff", help="An earlier map: show what changed since."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the map as a document or a diagram, or compare it with an earlier one."""
    from auditor.cli.documents import print_json
    from auditor.cli.rows import print_rows
    from auditor.map.diagram import svg
    from auditor.map.diff import compare
    from auditor.map.document import markdown, mermaid, rows_of
    from auditor.map.effective import effective_yaml

    loaded = load(map_)
    if diff is not None:
        need_map(diff, "point to an earlier one with --diff")
        edits = [edit.as_row() for edit in compare(load(diff), loaded)]
        if as_json:
            print_json(edits)
        elif edits:
            print_rows("", edits)
        else:
            say("the maps are identical")
        raise typer.Exit(DRIFT if edits else 0)
    if as_json:
        print_json([{name: getattr(row, name) for name in row.__slots__} for row in rows_of(loaded)])
        return
    write({"md": markdown, "mermaid": mermaid, "svg": svg, "yaml": effective_yaml}[format_](loaded))


@app.command()
def discover(
    left: Annotated[str, typer.Argument(help="The source of truth: a system of the map, or a database URL.")],
    right: Annotated[str, typer.Argument(help="The system that holds copies: the same.")],
    map_: MapOption = DEFAULT_MAP,
) -> None:
    """Read what two systems hold, and propose a map with the evidence for each match."""
    from auditor.cli.rows import err, shown
    from auditor.systems.discovery import discover as compare
    from auditor.systems.proposed_map import as_yaml
    from probes.contract import ProbeError

    systems = [_system(each, map_, at) for at, each in enumerate((left, right))]
    if systems[0][0] == systems[1][0]:
        fail("both names mean the same system; choose two")
    try:
        with err.status("connecting") as status:
            proposal = compare(*(reader for _, reader, _ in systems), tell=lambda text: status.update(shown(text)))
    except ProbeError as error:
        fail(f"{error}", UNVERIFIED)
    finally:
        for _, reader, _ in systems:
            reader.close()
    write(as_yaml(proposal, (systems[0][2], systems[1][2])))


def _system(text: str, map_: Path, at: int) -> tuple[str, SystemReader, str]:
    """A system by its name in the map or by its URL: a name, a reader, and its text in a map."""
    from pydantic import ValidationError

    from auditor.map.loader import system_text
    from auditor.systems.proposed_map import new_system, system_name
    from auditor.systems.reader import SystemReader
    from probes import registry
    from probes.wording import did_you_mean

    if "://" not in text:
        systems = load_systems(map_)
        if text not in systems:
            fail(f"unknown system {text!r}{did_you_mean(text, systems, then='or pass a database URL')}")
        declared = systems[text]
        return text, SystemReader(text, declared, registry.open_record_probe(declared)), system_text(map_, text) or ""
    settings: Any
    try:
        kind = registry.kind_of_address(text)
        settings = registry.record_settings(kind).model_validate({"kind": kind, "url": text, "zone": "UTC"})
    except ValidationError as error:
        fail(error.errors()[0]["msg"].removeprefix("Value error, "))
    name = system_name(text, at)
    reader = SystemReader(name, settings, registry.open_record_probe(settings))
    return name, reader, new_system(name, kind, f"${{{name.upper()}_URL}}")
