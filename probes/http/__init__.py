"""HTTP for every probe of an API: signing in, requests within limits, retries, paging."""
