"""Drawing the dashboard's pages without a browser, and what they say."""

from __future__ import annotations


def drawn(page: str) -> list[str]:
    """Everything that a page says. Raises AssertionError where it fails."""
    from unittest.mock import patch

    from streamlit.testing.v1 import AppTest

    from auditor.dashboard import acting
    from auditor.dashboard.access import Onlooker

    code = f"from auditor.dashboard import navigation\nnavigation.run(first={page!r})\n"
    with patch.object(acting, "sender", lambda: Onlooker(why="Nobody acts here.")):
        app = AppTest.from_string(code, default_timeout=60).run()
    if app.exception:
        raise AssertionError(f"the page {page} failed: {app.exception[0].message}")
    parts = [*app.title, *app.subheader, *app.caption, *app.info, *app.warning, *app.error, *app.markdown, *app.code]
    tables = [str(each.value) for each in app.dataframe]
    return [line[:1_900] for each in parts for line in str(each.value).splitlines()] + [
        line[:1_900] for table in tables for line in table.splitlines()
    ]
