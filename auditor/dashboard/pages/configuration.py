"""Configuration: the map in force without its secrets, the file as it stands now, what differs, and every load."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import streamlit as st

from auditor import escaping
from auditor.dashboard import components, look, navigation, tables, view
from auditor.dashboard.data import Data
from auditor.dashboard.frames import frame
from auditor.dashboard.time_range import TimeRange
from auditor.ledger import MapLoad, MapStanding
from auditor.map.diff import compare_documents
from auditor.map.effective import as_yaml, effective, masking
from auditor.map.loader import check_map
from auditor.map.problems import MapError, Problem
from probes.wording import counted

HISTORY = 50
"""Loads that are listed."""

NAMED = 3
"""Changes or mistakes of a load that its row quotes."""

YAML_HEIGHT = 480

CAUSES = {
    "start": "when the auditor started",
    "signal": "after the signal SIGHUP",
    "command": "after `auditor reload`",
}
"""Why the map was read."""

SECTIONS = ("systems", "data_types", "flows", "alerts")


def page() -> None:
    """Draw the page."""
    components.framed("Configuration", _draw, live=False, without_ledger=_of_the_file)


def _of_the_file() -> None:
    """Draw what is known of a map that no auditor has read yet."""
    location = Path(navigation.map_location())
    loaded, remarks = check_map(location)
    _as_it_stands(location, (), remarks)
    _effective(effective(loaded), of_daemon=False)


def _draw(data: Data, span: TimeRange) -> None:
    standing, now = data.ledger.map_loads.standing(), datetime.now(UTC)
    location = Path(navigation.map_location())
    document, problems, remarks = _file(data, location)
    _in_force(standing, now)
    _as_it_stands(location, problems, remarks)
    if document is not None:
        _differences(standing, document)
    known = standing.in_force.document if standing.in_force is not None else None

    def written(part: Mapping[str, Any]) -> str:
        return data.share(("yaml", *part), lambda: as_yaml(part))

    _effective(effective(data.map) if known is None else known, of_daemon=known is not None, written=written)
    _history(data)


def _file(data: Data, location: Path) -> tuple[Mapping[str, Any] | None, list[Problem], list[Problem]]:
    """The file as it stands: its effective map, its mistakes, and remarks; no map if there are mistakes."""
    try:
        loaded, remarks = check_map(location)
    except MapError as error:
        masked = masking(data.map)
        problems = [
            Problem(file=each.file, line=each.line, column=each.column, path=each.path, message=masked(each.message))
            for each in error.problems
        ]
        return None, problems, []
    return effective(loaded), [], remarks


def _in_force(standing: MapStanding, now: datetime) -> None:
    if standing.in_force is None:
        components.nothing("No auditor has recorded its map yet. Start it with `auditor run`.")
        return
    loaded = standing.in_force
    row = st.columns(3)
    row[0].metric(
        "Loaded", view.ago(loaded.at, now), help=f"{loaded.at:%Y-%m-%d %H:%M:%S} UTC" if loaded.at else None
    )
    row[1].metric("Digest", escaping.markdown(loaded.digest), help="Keyed digest of the whole map, secrets included.")
    row[2].metric("Settings", f"{sum(map(_size, (loaded.document or {}).values())):,}")
    st.caption(f"In force: {escaping.markdown(loaded.location)}, read {CAUSES[loaded.cause]}.")


def _size(value: Any) -> int:
    """How many values a document has."""
    if isinstance(value, Mapping):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, list) else 1


def _as_it_stands(location: Path, problems: Sequence[Problem], remarks: Sequence[Problem]) -> None:
    """The mistakes and remarks of the file."""
    st.header("The file now", anchor=False)
    named = escaping.markdown(location)
    if problems:
        st.error(
            f"**{counted(len(problems), 'mistake')}** in {named}. The auditor refuses this map as a whole, and does "
            "not start with it. Correct it, then run `auditor reload`.",
            icon=":material/error:",
        )
        _places(problems, "mistakes")
        return
    st.markdown(look.MAP_FILE["valid"].badged(f"{look.MAP_FILE['valid'].word}: {named}"))
    if remarks:
        with st.expander(f"{counted(len(remarks), 'setting')} without effect, and blind spots"):
            _places(remarks, "remarks")


def _places(problems: Sequence[Problem], key: str) -> None:
    rows = [
        {"file": each.file, "line": each.line, "column": each.column, "path": each.path, "message": each.message}
        for each in problems
    ]
    tables.table(
        frame(rows),
        key=key,
        alt="The mistakes of the map, each with its file, line and column",
        column_config={"message": st.column_config.TextColumn(width="large")},
    )


def _differences(standing: MapStanding, document: Mapping[str, Any]) -> None:
    """What the file has and the map in force has not."""
    if standing.in_force is None or standing.in_force.document is None:
        return
    edits = compare_documents(standing.in_force.document, document)
    if not edits:
        st.caption(
            "The file has the settings in force. Secrets are not compared here, nor is the environment in which the "
            "auditor runs."
        )
        return
    st.warning(
        f"**The file differs from the map in force in {counted(len(edits), 'setting')}.** Run `auditor reload` to "
        "put it in force.",
        icon=":material/difference:",
    )
    rows = [{"path": each.path, "change": each.change, "in force": each.before, "file": each.after} for each in edits]
    tables.table(frame(rows), key="differences", alt="The settings in which the file and the map in force differ")


def _effective(
    document: Mapping[str, Any], *, of_daemon: bool, written: Callable[[Mapping[str, Any]], str] = as_yaml
) -> None:
    """The effective map as YAML, to read, copy and download."""
    st.header("Effective map" if of_daemon else "Effective map of the file", anchor=False)
    st.caption(
        "Every setting with its value, defaults included. Secrets, logins and parameters of addresses are stars."
    )
    shown = [each for each in SECTIONS if each in document]
    chosen = st.segmented_control("Section", ["all", *shown], default="all", key="section") or "all"
    part = document if chosen == "all" else {chosen: document[chosen]}
    st.code(escaping.block(written(part)), language="yaml", line_numbers=True, height=YAML_HEIGHT)
    st.download_button(
        "Download effective-map.yaml",
        lambda: written(document),
        "effective-map.yaml",
        "application/yaml",
        on_click="ignore",
    )


def _history(data: Data) -> None:
    st.header("History", anchor=False)
    loads = data.ledger.map_loads.listed(HISTORY)
    if not loads:
        components.nothing("No map has been loaded yet. Start the auditor with `auditor run`.")
        return
    rows = [
        {
            "at": each.at,
            "what": _what(each),
            "cause": each.cause,
            "digest": each.digest,
        }
        for each in loads
    ]
    tables.table(
        frame(rows),
        key="history",
        alt="When the map was read, what became of it, and what changed",
        optional=("what",),
        signs={"outcome": [look.MAP_LOAD[str(each.outcome)] for each in loads]},
        column_config={**tables.instants("at"), "what": st.column_config.TextColumn(width="large")},
    )


def _what(load: MapLoad) -> str:
    """What a load changed, or why it was refused."""
    if load.mistakes:
        texts = ["{file}:{line}:{column} {path}: {message}".format(**each) for each in load.mistakes]
    else:
        texts = [_change(each) for each in load.changes]
    more = f"; and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return "; ".join(texts[:NAMED]) + more


def _change(change: Mapping[str, Any]) -> str:
    words = {"added": "{path} added", "removed": "{path} removed"}
    return words.get(str(change["change"]), "{path}: {before} → {after}").format(**change)
