"""What vendors' headers say of their limits, in the forms that their documents show."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.http.rate_limits import MOST_LIMITS, rate_limits, wait_s
from probes.metering import RateLimit

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
EPOCH_S = int(NOW.timestamp())


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        pytest.param({}, (), id="nothing"),
        pytest.param(
            {"ratelimit-limit": "100", "ratelimit-remaining": "50", "ratelimit-reset": "50"},
            (RateLimit(limit=100, left=50, resets_in_s=50),),
            id="draft 06, alone",
        ),
        pytest.param(
            {"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "0", "ratelimit-reset": "12"},
            (RateLimit(limit=100, left=0, resets_in_s=12, per=60),),
            id="draft 06, with a window",
        ),
        pytest.param(
            {"ratelimit": "limit=100, remaining=50, reset=5", "ratelimit-policy": "100;w=10"},
            (RateLimit(limit=100, left=50, resets_in_s=5),),
            id="draft 07",
        ),
        pytest.param(
            {"ratelimit-policy": '"burst";q=100;w=60,"daily";q=1000;w=86400', "ratelimit": '"daily";r=50;t=30'},
            (RateLimit(limit=1000, left=50, resets_in_s=30, per=86400),),
            id="draft 10",
        ),
        pytest.param(
            {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(EPOCH_S + 90)},
            (RateLimit(limit=60, left=0, resets_in_s=90),),
            id="GitHub, an instant in seconds",
        ),
        pytest.param(
            {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "3", "x-ratelimit-reset": f"{EPOCH_S + 9}500"},
            (RateLimit(limit=60, left=3, resets_in_s=9.5),),
            id="an instant in milliseconds",
        ),
        pytest.param(
            {"x-rate-limit-limit": "600", "x-rate-limit-remaining": "598", "x-rate-limit-reset": str(EPOCH_S - 5)},
            (RateLimit(limit=600, left=598, resets_in_s=0),),
            id="Okta, an instant that has passed",
        ),
        pytest.param(
            {
                **{"x-rate-limit": "400", "x-rate-limit-remaining": "399"},
                **{"ratelimit-limit": "400", "ratelimit-remaining": "399", "ratelimit-reset": "41"},
            },
            (RateLimit(limit=400, left=399, resets_in_s=41), RateLimit(limit=400, left=399)),
            id="Zendesk",
        ),
        pytest.param(
            {"sforce-limit-info": "api-usage=10018/100000"},
            (RateLimit(limit=100_000, left=89_982, per=86_400),),
            id="Salesforce",
        ),
        pytest.param(
            {"sforce-limit-info": "api-usage=25/5000; per-app-api-usage=17/250(appName=sample-app)"},
            (RateLimit(limit=5000, left=4975, per=86_400),),
            id="Salesforce, with an app's own",
        ),
        pytest.param(
            {"sforce-limit-info": "api-usage=6000/5000"},
            (RateLimit(limit=5000, left=0, per=86_400),),
            id="Salesforce, beyond it",
        ),
        pytest.param(
            {
                "x-hubspot-ratelimit-max": "190",
                "x-hubspot-ratelimit-remaining": "189",
                "x-hubspot-ratelimit-interval-milliseconds": "10000",
                "x-hubspot-ratelimit-daily": "650000",
                "x-hubspot-ratelimit-daily-remaining": "649900",
            },
            (RateLimit(limit=190, left=189, per=10), RateLimit(limit=650_000, left=649_900, per=86_400)),
            id="HubSpot, a private app",
        ),
        pytest.param(
            {
                "x-hubspot-ratelimit-max": "110",
                "x-hubspot-ratelimit-remaining": "0",
                "x-hubspot-ratelimit-interval-milliseconds": "10000",
            },
            (RateLimit(limit=110, left=0, per=10),),
            id="HubSpot, an OAuth app",
        ),
    ],
)
def test_a_limit_is_read_as_its_vendor_writes_it(headers: dict[str, str], wanted: tuple[RateLimit, ...]) -> None:
    assert rate_limits(headers, NOW) == wanted


@pytest.mark.parametrize(
    "headers",
    [
        {"ratelimit-limit": "many", "ratelimit-remaining": "few"},
        {"ratelimit-limit": "-1", "ratelimit-remaining": "5"},
        {"x-ratelimit-limit": "9" * 400, "x-ratelimit-remaining": "1"},
        {"x-ratelimit-remaining": "1"},
        {"sforce-limit-info": "api-usage=1"},
        {"sforce-limit-info": "per-app-api-usage=17/250"},
        {"ratelimit": '"default"'},
        {"ratelimit": ",,;;=="},
        {"x-hubspot-ratelimit-max": "190"},
    ],
)
def test_what_says_nothing_is_no_limit(headers: dict[str, str]) -> None:
    assert rate_limits(headers, NOW) == ()


@pytest.mark.parametrize("reset", ["nan", "inf", "1e300", "-5", "soon", "99999999999999999999"])
def test_an_end_that_nobody_means_is_not_told(reset: str) -> None:
    headers = {"x-ratelimit-limit": "5", "x-ratelimit-remaining": "1", "x-ratelimit-reset": reset}
    assert rate_limits(headers, NOW) == (RateLimit(limit=5, left=1),)


def test_an_instant_is_not_told_without_the_servers_clock() -> None:
    headers = {"x-ratelimit-limit": "5", "x-ratelimit-remaining": "1", "x-ratelimit-reset": str(EPOCH_S)}
    assert rate_limits(headers) == (RateLimit(limit=5, left=1),)


def test_a_server_may_not_name_any_number_of_them() -> None:
    told = ",".join(f'"p{number}";r={number}' for number in range(1000))
    assert len(rate_limits({"ratelimit": told})) == MOST_LIMITS


@given(st.dictionaries(st.sampled_from(["ratelimit", "ratelimit-policy", "sforce-limit-info"]), st.text()))
def test_no_text_of_a_header_is_an_error(headers: dict[str, str]) -> None:
    assert all(each.left is None or each.left >= 0 for each in rate_limits(headers, NOW))


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ((), None),
        ((RateLimit(limit=5, left=1, resets_in_s=9),), None),
        ((RateLimit(limit=5, left=0, resets_in_s=9),), 9),
        ((RateLimit(limit=5, left=0, per=10),), 10),
        ((RateLimit(limit=5, left=0, per=86_400),), None),
        ((RateLimit(limit=5, left=0, resets_in_s=2), RateLimit(limit=9, left=0, resets_in_s=7)), 7),
    ],
)
def test_a_limit_that_is_used_up_says_how_long_to_wait(limits: tuple[RateLimit, ...], wanted: float | None) -> None:
    assert wait_s(limits) == wanted
