"""Errors of PyMongo and MongoDB as named errors without secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pymongo import errors

from probes.call_deadline import passed
from probes.contract import ProbeError, Reason
from probes.secrets import Scrubber
from probes.wording import WHERE_IT_RUNS, figure

# Numbers of errors; 8000 and 16500 are Atlas's and Cosmos DB's. Source: mongodb/mongo, base/error_codes.yml.
_REFUSED = {
    18: Reason.AUTH,
    11: Reason.AUTH,
    334: Reason.AUTH,
    8000: Reason.AUTH,
    13: Reason.PERMISSION,
    50: Reason.TIMEOUT,
    262: Reason.TIMEOUT,
    202: Reason.TIMEOUT,
    16500: Reason.OVER_BUDGET,
    462: Reason.OVER_BUDGET,
    # CappedPositionLost, InvalidResumeToken, ChangeStreamFatalError, ChangeStreamHistoryLost
    **dict.fromkeys((136, 260, 280, 286), Reason.CURSOR_LOST),
    # InternalError, HostUnreachable, HostNotFound, CursorNotFound, NetworkTimeout, ShutdownInProgress,
    # FailedToSatisfyReadPreference, ReadConcernMajorityNotAvailableYet, QueryPlanKilled, SocketException
    **dict.fromkeys((1, 6, 7, 43, 89, 91, 133, 134, 175, 9001), Reason.UNREACHABLE),
}


class Explainer:
    """Turns PyMongo's errors into named errors.

    Args:
        timeout_s: of a call, for messages.
    """

    def __init__(self, scrub: Scrubber, timeout_s: float) -> None:
        self._scrub = scrub
        self._timeout_s = timeout_s

    def explained(self, error: Any) -> ProbeError:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, ProbeError):
            return cause
        if isinstance(error, errors.OperationFailure):
            return self._refused(error)
        if isinstance(error, errors.ServerSelectionTimeoutError) and "timed out" not in str(error):
            return self._unreachable(error)
        if _hung(error) or isinstance(error, errors.NetworkTimeout | errors.WaitQueueTimeoutError):
            why = next((each for each in _chain(error) if _BROKEN_OFF.search(str(each))), None)
            if why is not None:
                return ProbeError(Reason.UNREACHABLE, self.said(why), hint=WHERE_IT_RUNS)
            return ProbeError(
                Reason.TIMEOUT,
                f"no response within {figure(self._timeout_s)} s: {self.said(error)}",
                hint="is the server hanging? raise the timeout if it is only slow",
            )
        if isinstance(error, errors.ServerSelectionTimeoutError | errors.AutoReconnect | errors.InvalidOperation):
            return self._unreachable(error)
        if isinstance(error, errors.ConfigurationError) and "DNS" in str(error):
            return self._unreachable(error)
        if isinstance(error, errors.ConfigurationError):
            return ProbeError(Reason.QUERY, self.said(error))
        return ProbeError(Reason.DECODE, self.said(error))

    def _unreachable(self, error: BaseException) -> ProbeError:
        certificate = "CERTIFICATE" in str(error).upper()
        authority = "is the certificate's authority known? name it with tlsCAFile in the URL"
        return ProbeError(Reason.UNREACHABLE, self.said(error), hint=authority if certificate else WHERE_IT_RUNS)

    def _refused(self, error: Any) -> ProbeError:
        reason = _REFUSED.get(error.code, Reason.QUERY)
        details = error.details if isinstance(error.details, Mapping) else {}
        message = self._one_line(str(details.get("errmsg") or error))
        hints = {
            Reason.AUTH: "are user, password and authSource of the URL right?",
            Reason.PERMISSION: "grant the auditor's login the role read on this database",
            Reason.TIMEOUT: "is a field without an index queried? raise the timeout if the server is only slow",
        }
        wait = details.get("RetryAfterMs")
        return ProbeError(
            reason,
            message,
            hint=hints.get(reason, ""),
            retry_after_s=wait / 1000 if isinstance(wait, int | float) and wait >= 0 else None,
        )

    def said(self, error: BaseException) -> str:
        return self._one_line(str(error).partition(", Timeout:")[0].partition(" (configured timeouts")[0])

    def _one_line(self, text: str) -> str:
        return " ".join("".join(sign if sign.isprintable() else " " for sign in self._scrub(text)).split())[:300]


_BROKEN_OFF = re.compile(r"refused|connection closed|reset by peer|broken pipe", re.IGNORECASE)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes: PyMongo retries as long as there is time, and reports only the last attempt."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _hung(error: BaseException) -> bool:
    """Whether the current call ended because its time was over."""
    return passed() or "timed out" in str(error)
