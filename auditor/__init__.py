"""The auditor: map, plan, read, compare, judge, record, alert; and the faces people look at."""

__version__ = "0.1.0"
