"""The dashboard as `auditor dashboard` serves it."""

from auditor.dashboard.site import show

show()
