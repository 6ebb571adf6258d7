"""One module for each SQL database with what is specific to it; `dialects.dialect` is the interface."""
