"""How far a session's set-up has come, and what its steps share on the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pandas as pd
import streamlit as st

from auditor import escaping
from auditor.dashboard.frames import frame
from auditor.setup.addresses import Entered
from auditor.setup.steps import Plan, Step
from probes.wording import heading

if TYPE_CHECKING:
    from auditor.audit.once import Report

AnswerT = TypeVar("AnswerT")

COLUMNS = {"read_only": "read-only"}


class _Told(Protocol):
    """What is shown as one row of a table."""

    def as_row(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why the systems could not be connected.

    Attributes:
        kinds: by position of a system that it is about, the kind that was entered.
    """

    text: str
    kinds: Mapping[int, str]

    def holds(self, chosen: Sequence[str]) -> bool:
        """Whether it is about what is chosen now."""
        return all(chosen[at] == kind for at, kind in self.kinds.items())


@dataclass(slots=True)
class Progress:
    """How far this session's set-up has come.

    Attributes:
        open: the code was entered.
        entered: what was entered about both systems, without secrets.
        held: the words that were entered, secrets included; they are kept in this session alone until the map is
            written, and never shown.
        tries: how often the systems were entered: each time the fields are new ones, which hold no secret.
        failures: why the last try failed.
        at: the step that is shown.
        kept: the `.env` file in which the secrets are.
        reports: the first verdicts.
    """

    open: bool = False
    plan: Plan = field(default_factory=Plan)
    entered: tuple[Entered, Entered] = (Entered(), Entered())
    held: tuple[Mapping[str, str], Mapping[str, str]] = field(default_factory=lambda: ({}, {}), repr=False)
    tries: int = 0
    failures: Sequence[Failure] = ()
    at: Step = Step.CONNECT
    kept: str = ""
    reports: list[Report] | None = None


def rows(told: Sequence[_Told]) -> pd.DataFrame:
    """Rows of a table, with words for the names of columns."""
    return frame(
        [{COLUMNS.get(name, heading(name)): value for name, value in each.as_row().items()} for each in told]
    )


def working(begin: str, work: Callable[[Callable[[str], None]], AnswerT]) -> AnswerT:
    """Work while a line shows what is being done."""
    place = st.empty()
    try:
        with place, st.status(f"{escaping.markdown(begin)} …") as status:
            return work(lambda text: status.update(label=f"{escaping.markdown(text[:1].upper() + text[1:])} …"))
    finally:
        place.empty()


def back(progress: Progress, to: Step) -> None:
    """Draw the button that leads to an earlier step."""
    if st.button("Back", type="tertiary", icon=":material/arrow_back:"):
        go(progress, to)


def go(progress: Progress, to: Step) -> None:
    """Show another step at once."""
    progress.at = to
    st.rerun()
