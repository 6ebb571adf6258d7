"""The dashboard: what the lens says, drawn. Pages filter, ask `data`, handle the empty case and draw."""
