"""The database: engine, tables, migrations, leases, leadership, backup and restore. Stores stand in their packages."""
