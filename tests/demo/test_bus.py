"""The bus: order, targets that do not take part, refused records, and what it carries wrongly when it is told to."""

from __future__ import annotations

import random

import pytest

from demo.bus import Bus
from demo.business import Business
from demo.company import Company
from demo.conditions import Conditions
from tests.demo.test_company import company, held

__all__ = ["company"]


class World:
    """A business and its bus."""

    def __init__(self, company: Company) -> None:
        self.conditions = Conditions()
        self.business = Business(company, self.conditions, random.Random(3))
        self.bus = Bus(company, self.conditions)
        self.company = company

    def waiting(self, target: str) -> int:
        return len(held(self.company, "bus", f"SELECT id FROM jobs WHERE target = '{target}'"))


@pytest.fixture
def world(company: Company) -> World:
    return World(company)


@pytest.mark.parametrize("how", ["held", "down"])
def test_jobs_of_a_target_that_takes_none_wait(world: World, how: str) -> None:
    getattr(world.conditions, how).add("billing")
    world.business.change("cus_00001", plan="team")
    world.bus.work()
    assert (world.waiting("billing"), world.waiting("warehouse")) == (1, 0)
    getattr(world.conditions, how).clear()
    world.bus.work()
    assert world.waiting("billing") == 0


@pytest.mark.parametrize(("lanes", "waiting"), [(False, 3), (True, 0)])
def test_a_slow_target_keeps_the_others_waiting_unless_each_has_a_queue(
    world: World, lanes: bool, waiting: int
) -> None:
    world.conditions.slow.add("marketing")
    world.conditions.lanes = lanes
    for number in range(1, 5):
        world.business.change(f"cus_{number:05d}", plan="team")
    world.bus.work()
    assert world.waiting("marketing") == 3
    assert world.waiting("documents") == waiting


def test_a_record_that_its_target_refuses_is_dead_lettered(world: World) -> None:
    world.business.change("cus_00001", email="ada at example.com")
    world.bus.work()
    assert held(world.company, "bus", "SELECT target, key, error FROM dead_letters") == [
        ("billing", "cus_00001", "422 from billing: email of cus_00001 is not valid")
    ]
    assert held(world.company, "marketing", "SELECT email FROM customers WHERE id = 'cus_00001'") == [
        ("ada at example.com",)
    ]


def test_deletions_are_carried_only_by_a_bus_with_tombstones(world: World) -> None:
    world.conditions.tombstones = False
    world.business.delete("cus_00001")
    world.bus.work()
    assert held(world.company, "billing", "SELECT id FROM customers WHERE id = 'cus_00001'") == [("cus_00001",)]
    world.conditions.tombstones = True
    world.business.delete("cus_00001")
    world.bus.work()
    for system in ("billing", "marketing", "documents", "messaging"):
        assert held(world.company, system, "SELECT id FROM customers WHERE id = 'cus_00001'") == []
    assert held(world.company, "warehouse", "SELECT 1 FROM dim_customer WHERE customer_id = 'cus_00001'") == []


@pytest.mark.parametrize(("idempotent", "mails"), [(True, 1), (False, 2)])
def test_a_mail_is_sent_again_unless_messaging_knows_its_key(world: World, idempotent: bool, mails: int) -> None:
    world.conditions.idempotent = idempotent
    world.business.queue(("messaging",), "welcome", ("cus_00001", "welcome"))
    world.bus.work()
    assert len(held(world.company, "messaging", "SELECT 1 FROM mails WHERE customer_id = 'cus_00001'")) == mails


@pytest.mark.parametrize(("idempotent", "payments"), [(True, 1), (False, 2)])
def test_an_invoice_is_charged_again_unless_billing_knows_its_key(
    world: World, idempotent: bool, payments: int
) -> None:
    world.conditions.idempotent = idempotent
    key = world.business.invoice(4_900)
    world.business.pay(key)
    (invoice,) = held(world.company, "billing", f"SELECT * FROM invoices WHERE id = '{key}'")
    world.business.charge(invoice)
    world.bus.work()
    loaded = f"SELECT 1 FROM fact_payment WHERE invoice_id = '{key}'"
    assert len(held(world.company, "warehouse", loaded)) == payments
    world.business.refund_doubles()
    world.bus.work()
    assert len(held(world.company, "warehouse", loaded)) == 1


def test_a_batch_loads_invoices_only_when_it_is_time(world: World) -> None:
    world.bus.work()
    world.conditions.batch_s = 3600.0
    world.business.invoice(100)
    world.bus.work()
    assert world.waiting("warehouse") == 1
    world.conditions.batch_s = 0.0
    world.bus.work()
    assert world.waiting("warehouse") == 0


def test_local_time_is_two_hours_ahead(world: World) -> None:
    loaded = "SELECT signed_at FROM dim_customer WHERE customer_id = 'cus_00001'"
    ((before,),) = held(world.company, "warehouse", loaded)
    world.conditions.local_time = True
    world.business.change("cus_00001", plan="team")
    world.bus.work()
    ((after,),) = held(world.company, "warehouse", loaded)
    assert before != after
    world.conditions.local_time = False
    world.business.carry_all("warehouse")
    while world.bus.work():
        pass
    assert held(world.company, "warehouse", loaded) == [(before,)]
