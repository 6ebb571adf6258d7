"""The probes of queues, each against a real broker where one can be had."""
