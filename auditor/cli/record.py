"""The command that shows one record as every system holds it now."""

from __future__ import annotations

from typing import Annotated

import typer

from auditor.cli.options import (
    CONSISTENT,
    DEFAULT_MAP,
    DRIFT,
    UNVERIFIED,
    JsonOption,
    MapOption,
    TextCommand,
    app,
    fail,
    load,
)


@app.command(cls=TextCommand)
def record(
    data_type: Annotated[str, typer.Argument(metavar="TYPE", help="The data type.")],
    key: Annotated[str, typer.Argument(help="The record's key.")],
    map_: MapOption = DEFAULT_MAP,
    as_json: JsonOption = False,
) -> None:
    """Show one record in every system, side by side, read live."""
    from dataclasses import asdict

    from auditor.cli.documents import print_json
    from auditor.cli.tables import print_record
    from auditor.systems.live_record import read_record
    from auditor.systems.reader import open_readers
    from checks.values import UnreadableError
    from probes.wording import did_you_mean

    loaded = load(map_)
    if data_type not in loaded.data_types:
        fail(f"unknown data type {data_type!r}{did_you_mean(data_type, loaded.data_types)}")
    readers = open_readers(loaded)
    try:
        view = read_record(loaded, readers, data_type, key)
    except UnreadableError as error:
        fail(f"{key!r} is not a valid key of {data_type}: {error}")
    finally:
        for reader in readers.values():
            reader.close()
    if as_json:
        print_json({**asdict(view), "verdict": view.verdict, "differing": view.differing})
    else:
        print_record(view)
    raise typer.Exit({"agrees": CONSISTENT, "differs": DRIFT}.get(view.verdict, UNVERIFIED))
