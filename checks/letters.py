"""Dead letters: which failed for the same reason, and what replaying them would and would not do. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from probes.wording import counted

SIGNATURE_LENGTH = 160

POISON_TIMES = 3
"""A record that failed this often for one reason will not succeed on a retry."""

NO_REASON = "no reason given"

_PARTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"), "<time>"),
    (re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE), "<address>"),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "<e-mail>"),
    (re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`"), "<text>"),
    (re.compile(r"\b(?:0x[0-9a-f]+|(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,})\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b[A-Za-z][A-Za-z]*[_-]?\d[\w-]*\b"), "<id>"),
    # Three digits from 100 to 599 are an HTTP status, which says why; every other number is an instance.
    (re.compile(r"(?<![\w.])(?![1-5]\d\d(?![\w.,]*\d))[-+]?\d[\d.,]*(?:ms|s|kb|mb|%)?(?!\w)", re.IGNORECASE), "<n>"),
)


class Prospect(StrEnum):
    """The likely result of replaying a letter."""

    POISON = "poison"
    REPLAY_UNSAFE = "replay_unsafe"
    REPLAYABLE = "replayable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFate:
    """What a letter's prospects depend on.

    Attributes:
        signature: see `signature`.
        recovered: it is gone from the queue, and its record agrees.
    """

    flow: str
    key: str | None
    signature: str
    recovered: bool = False


def signature(reason: str | None) -> str:
    """Reduce an error text to what all letters that failed for this reason share.

    Removes identities, instants, addresses, quoted values and numbers; keeps the status of an HTTP response.
    """
    text = " ".join((reason or "").split())[:2_000]
    if not text:
        return NO_REASON
    for pattern, word in _PARTS:
        text = pattern.sub(word, text)
    return text[:SIGNATURE_LENGTH]


def main_reason(reasons: Sequence[tuple[str | None, int]]) -> str:
    """Say why most letters of a queue were dead-lettered; "" if no reason is recorded.

    Args:
        reasons: signatures with their numbers of letters, most frequent first.
    """
    if not reasons or reasons[0][0] is None:
        return ""
    return f"{reasons[0][1]} of {sum(letters for _, letters in reasons)}: {reasons[0][0]}"


def unreadable_note(reasons: Sequence[tuple[str, int]]) -> str:
    """Say how many letters of a queue could not be read in full, and the main reason; "" if all could.

    Args:
        reasons: with their numbers of letters, most frequent first.
    """
    if not reasons:
        return ""
    letters = sum(each for _, each in reasons)
    most = "" if len(reasons) == 1 else f" {reasons[0][1]} of them:"
    return f"{counted(letters, 'letter')} could not be read whole:{most} {reasons[0][0]}"


def prospects(letters: Sequence[LetterFate], *, unsafe_flows: Iterable[str] = ()) -> list[Prospect]:
    """Predict for each letter the result of replaying it.

    Poison is a letter whose record failed `POISON_TIMES` or more times for one reason. A letter is replayable if
    others of its flow and reason succeeded later and processing it has no other effect. If its flow has side effects,
    a replay is never assumed safe.

    Args:
        letters: those that wait and those no longer queued.
        unsafe_flows: flows that declare side effects.
    """
    unsafe = frozenset(unsafe_flows)
    failed: Counter[tuple[str, str, str]] = Counter()
    succeeded: dict[tuple[str, str], int] = defaultdict(int)
    for each in letters:
        if each.key is not None:
            failed[each.flow, each.key, each.signature] += 1
        succeeded[each.flow, each.signature] += each.recovered
    return [_prospect(each, failed, succeeded, unsafe) for each in letters]


def _prospect(
    letter: LetterFate,
    failed: Counter[tuple[str, str, str]],
    succeeded: dict[tuple[str, str], int],
    unsafe: frozenset[str],
) -> Prospect:
    times = failed[letter.flow, letter.key, letter.signature] if letter.key is not None else 0
    if not letter.recovered and times >= POISON_TIMES:
        return Prospect.POISON
    if letter.flow in unsafe:
        return Prospect.REPLAY_UNSAFE
    return Prospect.REPLAYABLE if succeeded[letter.flow, letter.signature] else Prospect.UNKNOWN
