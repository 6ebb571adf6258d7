"""One audit of a flow or a queue: plan, read, compare, judge, record."""
