"""The past of every flow: the archive, the views over ledger and archive, and the figures made from them."""
