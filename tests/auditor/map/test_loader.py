"""The integration map: one mistake each, and the whole text that tells it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.cli.template import TEMPLATE
from auditor.map.loader import check_map, files_of, load_map, load_systems
from auditor.map.problems import MapError
from auditor.map.schema import json_schema
from probes.registry import QUEUE_KINDS

GOOD = """\
systems:
  crm:
    kind: sql
    url: "sqlite:///crm.sqlite"
    zone: UTC
  billing:
    kind: rest
    url: http://127.0.0.1:1
    delay_floor: 2s
data_types:
  customer:
    owner: crm
    window: 30s
    fields:
      email: {type: string}
      plan: {type: enum}
    in:
      crm: {collection: customers, key: id, changed_at: updated_at}
      billing: {collection: customers, key: id, one: "/customers/{key}"}
flows:
  customer_to_billing:
    data_type: customer
    from: crm
    to: billing
    pattern: real-time
"""

# what is replaced, by what, and the whole of what is said
MISTAKES = [
    ("kind: sql", "kind: sqll", "map.yaml:3:5 systems.crm.kind: unknown kind 'sqll'; did you mean 'sql'?"),
    ("delay_floor: 2s", "delay_floor: 2s\n    auth: {kind: oauth}", "map.yaml:10:5 systems.billing.auth: unknown kind 'oauth'; known: basic, bearer, header, oauth2_client_credentials, oauth2_jwt_bearer, oauth2_refresh_token"),
    ("delay_floor: 2s", "delay_floor: 2s\n    auth: {token: x}", "map.yaml:10:5 systems.billing.auth: kind is required: it decides which other keys there are"),
    ("delay_floor: 2s", "delay_floor: 2s\n    auth: secret", "map.yaml:10:5 systems.billing.auth: write a mapping of words: {WORD: VALUE}"),
    ("delay_floor: 2s", "delay_floor: 2s\n    auth: {kind: bearer, tokn: x, token: y}", "map.yaml:10:26 systems.billing.auth.tokn: unknown word; did you mean 'token'?"),
    ("delay_floor: 2s", "delay_floor: 2s\n    auth:\n      kind: oauth2_client_credentials\n      client_id: a\n      client_secret: b\n      token_url: http://login.example.com", "map.yaml:14:7 systems.billing.auth.token_url: secrets are sent to it, so it must begin with https://"),
    ("delay_floor: 2s", "delay_floor: 2s\n    auth:\n      kind: oauth2_client_credentials\n      client_id: a\n      client_secret: b\n      token_url: https://x/y\n      scpoe: read", "map.yaml:15:7 systems.billing.auth.scpoe: unknown word; did you mean 'scope'?"),
    ("delay_floor: 2s", "delay_floor: 2s\n    auth: {kind: bearer, token: y}\n    headers: {authorization: x}", "map.yaml:6:3 systems.billing: headers sets authorization, and auth sends it as well; take it out of headers"),
    ("delay_floor: 2s", "delay_floor: 2s\n    retries: 11", "map.yaml:10:5 systems.billing.retries: must be at most 10"),
    ("    zone: UTC\n", "    zoen: UTC\n", "map.yaml:5:5 systems.crm.zoen: unknown word; did you mean 'zone'?"),
    ("zone: UTC", "zone: Mars", "map.yaml:5:5 systems.crm.zone: unknown time zone 'Mars'; write for example UTC"),
    ("sqlite:///crm.sqlite", "${NOT_SET}", "map.yaml:4:5 systems.crm.url: environment variable NOT_SET is not set: set it in the shell, or in .env in the folder you start from"),
    ("sqlite:///crm.sqlite", "oracle://x/y", "map.yaml:4:5 systems.crm.url: no SQL probe for 'oracle'; known: postgresql, mariadb, mysql, sqlite"),
    ("zone: UTC", "budget: {calls_per_s: 50, calls_per_minute: 40}", "map.yaml:5:5 systems.crm.budget: calls_per_s: 50 can never be reached beside calls_per_minute: 40; raise calls_per_minute, or leave calls_per_s out"),
    ("zone: UTC", "budget: {calls_per_s: 5, calls_per_day: 4}", "map.yaml:5:5 systems.crm.budget: calls_per_s: 5 can never be reached beside calls_per_day: 4; raise calls_per_day, or leave calls_per_s out"),
    ("zone: UTC", "budget: {calls_per_day: 0}", "map.yaml:5:14 systems.crm.budget.calls_per_day: must be at least 1"),
    ("zone: UTC", "budget: {calls_per_s: 0.5}", "map.yaml:5:14 systems.crm.budget.calls_per_s: write a whole number"),
    ("owner: crm", "owner: crn", "map.yaml:12:5 data_types.customer.owner: unknown system 'crn'; did you mean 'crm'?"),
    ("window: 30s", "window: soon", "map.yaml:13:5 data_types.customer.window: not a duration: 'soon'; write for example 250ms, 30s, 5m, 1h30m, 2d or none"),
    ("window: 30s", "window: 1s", "map.yaml:22:5 flows.customer_to_billing.data_type: the window of 1 s is below the 2 s for which crm or billing may legitimately return stale data (delay_floor)"),
    ("window: 30s", "window: 8d", "map.yaml:22:5 flows.customer_to_billing.data_type: a window of 8 d; windows are from 1 s to 7 days, or none"),
    ("changed_at: updated_at", "changed_at: updated_at, version: seq", "map.yaml:18:7 data_types.customer.in.crm: name changed_at or version, not both: changed_at also tells when, and is enough"),
    ("pattern: real-time", "pattern: real-time\n    sampling: {value: {field: plann, above: 1, share: 1}}", "map.yaml:26:5 flows.customer_to_billing.sampling: unknown field 'plann'; did you mean 'plan'?"),
    ("pattern: real-time", "pattern: real-time\n    sampling: {value: {field: plan, above: 1, share: 1}}", "map.yaml:26:5 flows.customer_to_billing.sampling: plan is of type enum and has no worth; name a field of type integer, decimal, float, money"),
    ("pattern: real-time", "pattern: real-time\n    sampling: {recent: 2}", "map.yaml:26:16 flows.customer_to_billing.sampling.recent: must be at most 1"),
    ("    window: 30s\n", "", "map.yaml:11:3 data_types.customer.window: is required"),
    ("{type: string}", "{type: decmal}", "map.yaml:15:15 data_types.customer.fields.email.type: unknown type 'decmal'; did you mean 'decimal'?"),
    ("{type: enum}", "{type: enum, casefld: true}", "map.yaml:16:26 data_types.customer.fields.plan.casefld: unknown word; did you mean 'casefold'?"),
    ("one: \"/customers/{key}\"", "one: /customers", "map.yaml:19:7 data_types.customer.in.billing: one needs {key}, got '/customers'"),
    (", one: \"/customers/{key}\"", "", "map.yaml:19:7 data_types.customer.in.billing: set how records are read: one: /path/{key} or many: /path?ids={keys}"),
    ("      crm: {collection", "      cmr: {collection", "map.yaml:18:7 data_types.customer.in.cmr: unknown system; did you mean 'crm'?"),
    ("data_type: customer", "data_type: custmer", "map.yaml:22:5 flows.customer_to_billing.data_type: unknown data type 'custmer'; did you mean 'customer'?"),
    ("    from: crm\n    to: billing", "    from: billing\n    to: crm", "map.yaml:23:5 flows.customer_to_billing.from: billing does not own customer: its owner is crm; a flow starts at the source of truth"),
    ("to: billing", "to: crm", "map.yaml:24:5 flows.customer_to_billing.to: from and to must be different systems"),
    ("pattern: real-time", "pattern: sometimes", "map.yaml:25:5 flows.customer_to_billing.pattern: unknown pattern 'sometimes'; known: batch, event-driven, near-real-time, on-demand, real-time"),
    ("pattern: real-time", "pattern: real-time\n    fields: [emial]", "map.yaml:26:14 flows.customer_to_billing.fields.0: unknown field 'emial'; did you mean 'email'?"),
    ("pattern: real-time", "pattern: real-time\n    every: 60s", "map.yaml:26:5 flows.customer_to_billing.every: probing every 60 s cannot judge a window of 30 s; probe at least once a window"),
    ("pattern: real-time", "pattern: real-time\n    queues:\n      dead: {kind: carrier_pigeon}", f"map.yaml:27:7 flows.customer_to_billing.queues.dead: unknown kind 'carrier_pigeon'; known: {', '.join(sorted(QUEUE_KINDS))}"),
    ("      plan: {type: enum}\n", "      plan: {type: enum, writers: [bilng]}\n", "map.yaml:16:36 data_types.customer.fields.plan.writers.0: unknown system 'bilng'; did you mean 'billing'?"),
    ("window: 30s", "window: 30s\n    key_type: [integer, strin]", "map.yaml:14:5 data_types.customer.key_type: unknown key type 'strin'; did you mean 'string'?"),
    ("window: 30s", "window: 30s\n    business_key: [emial]", "map.yaml:14:20 data_types.customer.business_key.0: unknown field 'emial'; did you mean 'email'?"),
    ("window: 30s", "window: 30s\n    rules: {some plan: \"plann != ''\"}", "map.yaml:14:13 data_types.customer.rules.some plan: not a rule: at 1:1: undeclared reference to 'plann'; did you mean 'plan'?"),
    ("window: 30s", "window: 30s\n    rules: {some plan: \"size(plan)\"}", "map.yaml:14:13 data_types.customer.rules.some plan: not a rule: it does not say true or false, but gives INT"),
    ("pattern: real-time", "pattern: real-time\n    conflict_policy: last-write-win", "map.yaml:26:5 flows.customer_to_billing.conflict_policy: unknown conflict policy 'last-write-win'; did you mean 'last-write-wins'?"),
    ("pattern: real-time", "pattern: real-time\n    conflict_policy: last-write-wins", "map.yaml:26:5 flows.customer_to_billing.conflict_policy: last-write-wins needs changed_at in both systems, and billing has none under in:"),
    ("pattern: real-time", "pattern: real-time\n    conflict_policy: version", "map.yaml:26:5 flows.customer_to_billing.conflict_policy: version needs version in both systems, and crm and billing has none under in:"),
    ("pattern: real-time", "pattern: real-time\n    conflict_policy: merge-function", "map.yaml:26:5 flows.customer_to_billing.conflict_policy: set merge_function: module:function"),
    ("pattern: real-time", "pattern: real-time\n    merge_function: json:loads", "map.yaml:26:5 flows.customer_to_billing.merge_function: is not used: the conflict policy is source-of-truth-wins"),
    ("pattern: real-time", "pattern: real-time\n    conflict_policy: merge-function\n    merge_function: no_such.module:merge", "map.yaml:27:5 flows.customer_to_billing.merge_function: cannot load no_such.module:merge: ModuleNotFoundError: No module named 'no_such'"),
    ("flows:\n", "flwos:\n", "map.yaml:20:1 flwos: unknown section; did you mean 'flows'?"),
    ("systems:\n  crm:", "systems:\n  crm: {kind: [}\n  x:", "map.yaml:2:16 map: expected the node content, but found '}' (quote values that contain ${...} or \": \")"),
]  # fmt: skip


def load(text: str, tmp_path: Path, **environment: str) -> Any:
    file = tmp_path / "map.yaml"
    file.write_text(text)
    return load_map(file, environment)


def told(error: MapError, tmp_path: Path) -> list[str]:
    return [str(problem).replace(f"{tmp_path}/", "") for problem in error.problems]


@pytest.mark.parametrize(
    ("what", "by", "expected"), MISTAKES, ids=[each[2].split(" ", 1)[1][:50] for each in MISTAKES]
)
def test_one_mistake(what: str, by: str, expected: str, tmp_path: Path) -> None:
    assert what in GOOD
    with pytest.raises(MapError) as failed:
        load(GOOD.replace(what, by, 1), tmp_path)
    assert expected in told(failed.value, tmp_path)


@pytest.mark.parametrize(
    ("alerts", "expected"),
    [
        ("webhook: {url: 'htp://x.example'}", ".webhook.url: the URL must begin with http:// or https://"),
        ("slack: {webhook: 'x.example'}", ".slack.webhook: not a URL; it begins with http:// or https://"),
        ("heartbeat: {url: 'ftp://x.example'}", ".heartbeat.url: the URL must begin with http:// or https://"),
        ("hold: 2h", ".hold: must be at most 60 min; write for example 30s, 5m or 2h"),
        ("drill: {to: slack, within: 10}", ".drill.within: must be at least 30 s; write for example 30s, 5m or 2h"),
        ("drill: {to: slack, within: 5 minutes}", "write for example 250ms, 30s, 5m, 1h30m, 2d or none"),
        ("drill: {to: slack, at: '25:00'}", ".drill.at: not a time of day; write hours and minutes in UTC, for"),
    ],
)
def test_a_mistake_in_alerts_names_what_is_accepted(alerts: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(MapError) as failed:
        load(f"{GOOD}\nalerts:\n  {alerts}\n", tmp_path)
    (mistake,) = told(failed.value, tmp_path)
    line = GOOD.count("\n") + 3
    assert mistake.startswith(f"map.yaml:{line}:")
    assert expected in mistake


@pytest.mark.parametrize(
    "queue",
    [
        "{kind: rabbitmq, url: 'htp://u:p@x.example', queue: q}",
        "{kind: redis, url: 'rdis://x.example', name: q}",
        "{kind: nats, url: 'nts://x.example', stream: s}",
        "{kind: sqs, queue_url: 'htps://x.example/q', region: r}",
    ],
)
def test_the_scheme_of_a_queue_is_checked(queue: str, tmp_path: Path) -> None:
    with pytest.raises(MapError) as failed:
        load(GOOD.replace("pattern: real-time", f"pattern: real-time\n    queues: {{main: {queue}}}", 1), tmp_path)
    assert any("url: the URL must begin with " in each for each in told(failed.value, tmp_path))


def test_limits_of_calls_are_read(tmp_path: Path) -> None:
    file = tmp_path / "map.yaml"
    limits = "calls_per_s: 5, calls_per_minute: 100, calls_per_day: 15000"
    file.write_text(GOOD.replace("zone: UTC", f"zone: UTC\n    budget: {{{limits}}}"))
    budget = load_map(file, {}).systems["crm"].budget
    assert budget.call_limits == {
        "calls_per_s": (5, 1.0),
        "calls_per_minute": (100, 60.0),
        "calls_per_day": (15_000, 86_400.0),
    }
    assert load_map(file, {}).systems["billing"].budget.call_limits == {}


def test_all_mistakes_are_told_at_once_in_file_order(tmp_path: Path) -> None:
    text = (
        GOOD.replace("kind: sql", "kind: sqll").replace("window: 30s", "window: soon").replace("real-time", "never")
    )
    with pytest.raises(MapError) as failed:
        load(text, tmp_path)
    assert [problem.line for problem in failed.value.problems] == [3, 13, 25]


def test_a_mistake_hides_none_that_can_be_judged_without_it(tmp_path: Path) -> None:
    text = (
        "systems:\n"
        "  crm: {kind: sql, url: 'oracle://h/db'}\n"
        "  api: {kind: rest, url: 'http://127.0.0.1:1', zonne: UTC}\n"
        "data_types:\n"
        "  customer:\n"
        "    owner: crm\n"
        "    window: soon\n"
        "    fields: {email: {type: string}}\n"
        "    in:\n"
        "      crm: {collection: customers, key: id, fields: {emial: mail}}\n"
        "      api: {collection: customers, kee: id}\n"
        "      gone: {collection: customers, key: id}\n"
    )
    (tmp_path / "map.yaml").write_text(text)
    with pytest.raises(MapError) as failed:
        load_map(tmp_path / "map.yaml", {})
    assert [problem.line for problem in failed.value.problems] == sorted(
        problem.line for problem in failed.value.problems
    )
    paths = {problem.path for problem in failed.value.problems}
    assert {
        "systems.crm.url",
        "systems.api.zonne",
        "data_types.customer.window",
        "data_types.customer.in.crm.fields.emial",
        "data_types.customer.in.api.kee",
        "data_types.customer.in.gone",
        "flows",
    } <= paths
    assert failed.value.more


@pytest.mark.parametrize(
    ("what", "by", "more"),
    [
        ("kind: sql", "kind: sqll", True),
        ("window: 30s", "window: soon", True),
        ("flows:\n", "flwos:\n", True),
        ("flows:\n", "flows: {\n", True),
        ("owner: crm", "owner: nobody", False),
        ("pattern: real-time", "pattern: real-time\n    conflict_policy: version", False),
    ],
)
def test_it_is_said_where_a_mistake_may_hide_others(what: str, by: str, more: bool, tmp_path: Path) -> None:
    with pytest.raises(MapError) as failed:
        load(GOOD.replace(what, by, 1), tmp_path)
    assert failed.value.more is more


def test_variables_are_replaced_after_parsing(tmp_path: Path) -> None:
    text = GOOD.replace("sqlite:///crm.sqlite", "${URL}").replace("zone: UTC", "description: '${X:-none} $${Y}'")
    loaded = load(text, tmp_path, URL='sqlite:///a"b: {c.sqlite')
    assert loaded.systems["crm"].url.get_secret_value() == 'sqlite:///a"b: {c.sqlite'
    assert loaded.systems["crm"].description == "none ${Y}"


@pytest.mark.parametrize(
    ("good", "bad", "where"),
    [
        ("kind: sql", 'kind: "${K"', "systems.crm.kind"),
        ("from: crm", "from: ${UNSET}", "flows.customer_to_billing.from"),
        ("owner: crm", "owner: ${UNSET}", "data_types.customer.owner"),
    ],
)
def test_a_variable_that_cannot_be_replaced_is_one_mistake(good: str, bad: str, where: str, tmp_path: Path) -> None:
    assert good in GOOD
    with pytest.raises(MapError) as failed:
        load(GOOD.replace(good, bad, 1), tmp_path)
    mistakes = told(failed.value, tmp_path)
    assert len([each for each in mistakes if f" {where}: " in each]) == 1
    assert not [each for each in mistakes if "''" in each or "'K'" in each], "what the file does not say"


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("pre${PW", "${ begins no variable: write ${NAME}, ${NAME:-DEFAULT} or ${file:PATH}, and $${ where"),
        ("${PW-x}${PW}", "${ begins no variable: write"),
        ("${ PW }", "${ begins no variable: write"),
        ("${PW:?}", "${ begins no variable: write"),
        ("${}", "${ begins no variable: write"),
        ("${PW:-${OTHER}}", "${ in a default begins no variable: write"),
        ("${PW}${PW:-${OTHER}", "${ in a default begins no variable: write"),
        ("pre${UNSET}post", "environment variable UNSET is not set"),
    ],
)
def test_what_looks_like_a_variable_and_is_none_is_no_password(password: str, said: str, tmp_path: Path) -> None:
    text = GOOD.replace("sqlite:///crm.sqlite", f"postgresql://u:{password}@h/db")
    with pytest.raises(MapError) as failed:
        load(text, tmp_path, PW="hunter2")
    (mistake,) = told(failed.value, tmp_path)
    assert mistake.startswith(f"map.yaml:4:5 systems.crm.url: {said}")
    assert "hunter2" not in mistake


@pytest.mark.parametrize(
    ("password", "meant"), [("pre${PW}post", "prehunter2post"), ("$${PW", "${PW"), ("$PW$", "$PW$"), ("$$$${", "$${")]
)
def test_variables_are_replaced_wherever_they_stand(password: str, meant: str, tmp_path: Path) -> None:
    text = GOOD.replace("zone: UTC", f"description: '{password}'")
    assert load(text, tmp_path, PW="hunter2").systems["crm"].description == meant


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sqlite:///x.sqlite\n")
    loaded = load(GOOD.replace("sqlite:///crm.sqlite", f"${{file:{secret}}}"), tmp_path)
    assert loaded.systems["crm"].url.get_secret_value() == "sqlite:///x.sqlite"


def test_secrets_never_reach_text(tmp_path: Path) -> None:
    text = GOOD.replace("sqlite:///crm.sqlite", "${URL}").replace("owner: crm", "owner: nobody")
    with pytest.raises(MapError) as failed:
        load(text, tmp_path, URL="postgresql://u:hunter2@h/x")
    assert "hunter2" not in str(failed.value)
    assert "hunter2" not in repr(load(text.replace("nobody", "crm"), tmp_path, URL="postgresql://u:hunter2@h/x"))


def test_a_folder_is_one_map_and_a_name_stands_in_one_place(tmp_path: Path) -> None:
    systems, rest = GOOD.split("data_types:")
    (tmp_path / "a.yaml").write_text(systems)
    (tmp_path / "b.yml").write_text("data_types:" + rest)
    assert list(load_map(tmp_path, {}).flows) == ["customer_to_billing"]
    (tmp_path / "c.yaml").write_text("systems:\n  crm: {kind: sql, url: 'sqlite:///x'}\n")
    with pytest.raises(MapError, match=r"c.yaml:2:3 systems.crm: already defined at .*a.yaml:2"):
        load_map(tmp_path, {})


def test_merge_keys_and_odd_shapes_are_no_crash(tmp_path: Path) -> None:
    merged = GOOD.replace(
        "systems:\n", "systems:\n  x: &x {kind: sql, url: 'sqlite:///x'}\n  y:\n    <<: *x\n    zone: UTC\n"
    )
    assert load(merged, tmp_path).systems["y"].zone == "UTC"
    for what, by in (("kind: sql", "kind: [sql]"), ("kind: sql", "kind: {a: 1}"), ("zone: UTC", "zone: Europe")):
        with pytest.raises(MapError):
            load(GOOD.replace(what, by, 1), tmp_path)
    queue = "pattern: real-time\n    queues: {dead: {kind: sql_queue, system: billing, table: t}}"
    with pytest.raises(MapError, match="billing is not a SQL system"):
        load(GOOD.replace("pattern: real-time", queue), tmp_path)
    spare = GOOD.replace("systems:\n", "systems:\n  spare: 5\n")
    with pytest.raises(MapError, match=r"systems\.spare: kind is required"):
        load(spare.replace("pattern: real-time", queue.replace("billing", "spare")), tmp_path)


def test_an_empty_map_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(MapError, match="systems: the map needs at least one entry here"):
        load("", tmp_path)


def test_the_template_is_a_good_map(tmp_path: Path) -> None:
    urls = {"CRM_URL": "postgresql://u:p@h/x", "WAREHOUSE_URL": "mariadb://u:p@h/x"}
    assert list(load(TEMPLATE, tmp_path, **urls).flows) == ["customer_to_warehouse"]


def test_the_schema_names_every_word() -> None:
    text = json.dumps(json_schema())
    for word in ("systems", "delay_floor", "window", "in", "queues", "idempotency_key", "webhook", "many"):
        assert f'"{word}"' in text


@given(st.text(max_size=200))
def test_any_text_is_a_map_or_a_list_of_mistakes(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "map.yaml"
        file.write_text(text, encoding="utf-8", errors="ignore")
        with pytest.raises(MapError) as failed:
            load_map(file, {})
        assert failed.value.problems


def test_an_owner_loop_is_told_with_the_circle(tmp_path: Path) -> None:
    file = tmp_path / "map.yaml"
    text = GOOD.replace(
        "plan: {type: enum}", "plan: {type: enum, owner: shop}\n      tier: {type: enum, owner: billing}"
    )
    text = text.replace("data_types:", '  shop: {kind: sql, url: "sqlite:///shop.sqlite"}\ndata_types:')
    text = text.replace("flows:", "      shop: {collection: customers, key: id}\nflows:")
    text += "  back: {data_type: customer, from: billing, to: crm, pattern: batch, fields: [plan, tier]}\n"
    file.write_text(text)
    with pytest.raises(MapError) as caught:
        load_map(file, {})
    (told,) = [str(problem) for problem in caught.value.problems]
    assert "plan goes round" in told
    assert "its owner shop feeds none of them" in told


def test_a_mistake_in_a_flow_does_not_hide_those_in_its_queues(tmp_path: Path) -> None:
    wrong = GOOD.replace(
        "pattern: real-time", "pattern: real-time\n    windw: 5s\n    queues:\n      dead: {kind: kafka}", 1
    )
    (tmp_path / "map.yaml").write_text(wrong)
    with pytest.raises(MapError) as caught:
        load_map(tmp_path / "map.yaml", {})
    told = str(caught.value)
    assert "did you mean 'window'" in told
    assert "queues.dead.topic: is required" in told


def test_a_mounted_config_map_is_read_once(tmp_path: Path) -> None:
    """Kubernetes mounts a folder with the files, `..data` that leads to it, and links through that."""
    held = tmp_path / "..2026_11_27_01_30_14.123"
    held.mkdir()
    (held / "map.yaml").write_text(GOOD)
    (tmp_path / "..data").symlink_to(held.name)
    (tmp_path / "map.yaml").symlink_to("..data/map.yaml")
    (tmp_path / ".swap.yaml").write_text("nonsense: [")
    assert files_of(tmp_path) == [tmp_path / "map.yaml"]
    assert load_map(tmp_path, {}).flows


def test_a_pipe_in_a_folder_is_no_part_of_the_map(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text("systems: {}")
    os.mkfifo(tmp_path / "pipe.yaml")
    assert [each.name for each in files_of(tmp_path)] == ["map.yaml"]


def test_a_folder_may_itself_stand_under_a_name_with_a_dot(tmp_path: Path) -> None:
    place = tmp_path / ".config"
    place.mkdir()
    (place / "map.yaml").write_text(GOOD)
    assert load_map(place, {}).flows


SYSTEMS_ONLY = 'systems:\n  crm: {kind: sql, url: "sqlite:///crm.sqlite", zone: UTC}\n'


@pytest.mark.parametrize(
    "rest", ["", "flows:\n  f: {data_type: gone, from: crm, to: nowhere}\n", "alerts: {slak: 1}\n"]
)
def test_systems_can_be_loaded_before_the_rest_is_written(tmp_path: Path, rest: str) -> None:
    file = tmp_path / "map.yaml"
    file.write_text(SYSTEMS_ONLY + rest)
    assert list(load_systems(file, {})) == ["crm"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("flows: {}\n", "at least one entry"),
        (SYSTEMS_ONLY.replace("zone: UTC", "zone: Utopia"), "unknown time zone"),
        (SYSTEMS_ONLY.replace("kind: sql", "kind: sqll"), "did you mean 'sql'"),
        (SYSTEMS_ONLY + "flows: [\n", "map"),
    ],
)
def test_mistakes_in_the_systems_are_told_all_the_same(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "map.yaml"
    file.write_text(text)
    with pytest.raises(MapError, match=said):
        load_systems(file, {})


def test_ports_and_schemes_of_all_urls_are_refused_at_once(tmp_path: Path) -> None:
    file = tmp_path / "map.yaml"
    file.write_text(
        "systems:\n"
        "  a: {kind: sql, url: 'postgresql://u@h:99999/db'}\n"
        "  b: {kind: sql, url: 'oracle://u@h/db'}\n"
        "  c: {kind: rest, url: 'http://h:70000'}\n"
    )
    with pytest.raises(MapError) as refused:
        check_map(file, {})
    told = {each.path: each.message for each in refused.value.problems}
    assert told["systems.a.url"] == "the URL's port 99999 is not between 1 and 65535"
    assert told["systems.b.url"].startswith("no SQL probe for 'oracle'")
    assert told["systems.c.url"] == "the URL's port 70000 is not between 1 and 65535"


def mistakes(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "map.yaml"
    file.write_text(text)
    with pytest.raises(MapError) as refused:
        check_map(file, {})
    return [str(each).removeprefix(f"{tmp_path}/") for each in refused.value.problems]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version: 1\na: \x07\n", "map.yaml:2:4 map: the character U+0007 is not allowed in YAML; write it escaped"),
        ("version: 1\nversion: 1\n", "map.yaml:2:1 map: the word version appears here twice; remove one"),
        ("version: 1\na: b: c\n", "map.yaml:2:5 map: mapping values are not allowed here"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    assert mistakes(tmp_path, text) == [said]


def test_a_value_of_an_impossible_form_is_told(tmp_path: Path) -> None:
    (told,) = mistakes(tmp_path, "a: 2026-99-99\n")
    assert "put it in quotes" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("budget: {connections: many}", "write a whole number"),
        ("budget: {connections: 0}", "must be at least 1"),
        ("budget: 5", "write a mapping of words: {WORD: VALUE}"),
        ("zone: [UTC]", "write text, in quotes if it looks like a number"),
    ],
)
def test_no_word_of_a_library_is_passed_on(tmp_path: Path, words: str, said: str) -> None:
    told = mistakes(tmp_path, f"systems:\n  a: {{kind: sql, url: 'sqlite:///x.db', {words}}}\n")
    assert any(each.endswith(said) for each in told), told
    assert not any("Input" in each or "valid dictionary" in each for each in told)
