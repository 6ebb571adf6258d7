"""Pure checks: readings in, verdicts out. No driver, no database, no clock, no screen."""
