"""The daemon: the timetable, the lease it holds, and how it stops in time even if something hangs."""
