"""HTTP as every probe of an API speaks it: signing in, asking within limits, trying again, walking through pages."""
