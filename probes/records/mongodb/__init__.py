"""Records in MongoDB, read with PyMongo."""
