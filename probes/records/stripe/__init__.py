"""Records in Stripe, read through its REST API."""
