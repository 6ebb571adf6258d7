"""What is kept and how: files, text, errors; no driver is loaded here."""
