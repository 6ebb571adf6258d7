"""Records in a SQL database: PostgreSQL, MariaDB or MySQL, SQLite."""
