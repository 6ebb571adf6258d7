"""What became of it: the archive, the views over ledger and archive, and the figures made of them."""
