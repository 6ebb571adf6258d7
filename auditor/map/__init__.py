"""The integration map: what the user wrote, whether it holds together, and how it is shown."""
