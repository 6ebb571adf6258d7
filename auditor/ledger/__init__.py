"""The ledger: the system of record of every observation and every decision."""

from auditor.ledger.repository import Ledger

__all__ = ["Ledger"]
