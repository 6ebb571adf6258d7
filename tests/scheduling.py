"""How tests are spread over processes: as by xdist's `loadgroup`, but one that dies does not stop the others."""

from __future__ import annotations

import contextlib

import pytest
from xdist.scheduler import LoadGroupScheduling
from xdist.workermanage import WorkerController


class Scheduling(LoadGroupScheduling):  # type: ignore[misc]
    """xdist 3.8 hands on all that a dead process was given, also what it had finished.

    Whoever takes such a group has nothing to report, so that nobody is given anything more, and all wait for ever. It
    would also run the test again that ended the process, and end the next one. Where two processes die at about the
    same time, it gives tests to one that has not yet said which there are. And it gives a new process a single group,
    though none runs its last test before it knows the next one.
    """

    def remove_node(self, node: WorkerController) -> str | None:
        """Hand on what a process has not run; returns the test that it died of, None if it had run them all."""
        groups = self.assigned_work.pop(node)
        left = [(name, each) for name, tests in groups.items() for each, done in tests.items() if not done]
        if not left:
            return None
        group: str
        test: str
        group, test = left[0]
        groups[group][test] = True
        self.workqueue.update({name: tests for name, tests in groups.items() if not all(tests.values())})
        for each in self.assigned_work:
            self._reschedule(each)
        return test

    def _reschedule(self, node: WorkerController) -> None:
        if node not in self.registered_collections:
            return
        super()._reschedule(node)
        while self.workqueue and not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
            super()._reschedule(node)

    def _assign_work_unit(self, node: WorkerController) -> None:
        with contextlib.suppress(OSError):  # it has just died, which `remove_node` hears of next
            super()._assign_work_unit(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling | None:
    """Use it where tests are spread by group."""
    return Scheduling(config, log) if config.getvalue("dist") == "loadgroup" else None
