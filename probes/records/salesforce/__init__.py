"""Records in Salesforce, read through its REST API."""
