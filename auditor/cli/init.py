"""The command that writes a map: by asking for two systems on a terminal, or as a template."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from auditor.cli.options import DEFAULT_DATA, DEFAULT_MAP, DataOption, app, fail, is_there, short, write


@app.command()
def init(
    file: Annotated[
        Path | None, typer.Argument(help="Where to write the map.", show_default=str(DEFAULT_MAP))
    ] = None,
    data: DataOption = DEFAULT_DATA,
    template: Annotated[
        bool, typer.Option("--template", help="Ask nothing: write a commented map to begin with.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Ask nothing: write the template, also over an existing file.")
    ] = False,
    preset: Annotated[
        str | None,
        typer.Option("--preset", help="Write the part of a map for slack, twilio or zendesk instead: NAME.yaml."),
    ] = None,
) -> None:
    """Write an integration map: asks on a terminal for two systems, and proposes a map from what they hold.

    Without a terminal, or with --template, it writes a commented map to begin with.
    """
    asks = sys.stdin.isatty() and sys.stdout.isatty()
    if asks and not template and not force and preset is None:
        from auditor.cli.questions import ask
        from auditor.setup import files
        from auditor.setup.setup_error import SetupError

        file = file or DEFAULT_MAP
        if is_there(file, "a map") and not file.is_dir():
            fail(f"{file} exists, and nothing is changed in it; `auditor check --map {file}` lists its mistakes")
        try:
            file = files.place_for(str(file))
        except SetupError as error:
            fail(str(error))
        ask(file, data)
        return
    _write(file, force=force, preset=preset)


def _write(file: Path | None, *, force: bool, preset: str | None) -> None:
    from auditor.cli.template import TEMPLATE
    from auditor.escaping import visible
    from auditor.map import presets
    from auditor.storage import private_files
    from probes.wording import did_you_mean

    if preset is not None and preset not in presets.names():
        fail(f"there is no preset {preset!r}{did_you_mean(preset, presets.names())}")
    file = file or (DEFAULT_MAP if preset is None else Path(f"{preset}.yaml"))
    text = TEMPLATE if preset is None else presets.text(preset)
    what = "a map" if preset is None else "a part of a map"
    if is_there(file, what) and file.is_dir():
        fail(f"{file} is a folder; name a file in it, such as {file / DEFAULT_MAP.name}")
    if is_there(file, what) and not force:
        fail(f"{file} exists; --force overwrites it")
    try:
        private_files.write(file, text.encode(), mode=private_files.ordinary_mode(), replace=force)
    except FileExistsError:
        fail(f"{file} exists; --force overwrites it")
    except OSError as error:
        fail(f"cannot write {short(file)}: {error.strerror}")
    if preset is None:
        write(visible(f"wrote {file}; set its ${{...}} variables, then: auditor check --map {file}") + "\n")
        write(f"presets for {', '.join(presets.names())}: auditor init --preset NAME\n")
        return
    write(visible(f"wrote {file}; copy what you need into your map, and set its ${{...}} variables") + "\n")
