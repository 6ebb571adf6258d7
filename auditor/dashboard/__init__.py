"""The dashboard: draws what the lens returns. Pages filter, query `data`, handle the empty case and draw."""
