"""The integration map: what the user wrote, whether it is consistent, and how it is shown."""
