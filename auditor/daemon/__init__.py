"""The daemon: the timetable, the lease it holds, and how it ends in time whatever hangs."""
