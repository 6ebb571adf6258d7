"""One module for each SQL database: what it does in its own way. `dialects.dialect` says what that may be."""
