"""Records in HubSpot's CRM, read through its API."""
