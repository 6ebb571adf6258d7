"""The desk: what people do about incidents and conflicts."""
