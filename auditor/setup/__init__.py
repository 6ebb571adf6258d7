"""Setting up: the way from two logins to a written map and its first verdicts, for the terminal and the page."""
