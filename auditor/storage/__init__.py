"""How data is stored: files, text, errors; loads no driver."""
