"""The database: engine, tables, migrations, leases, leadership, backup and restore. Stores are in other packages."""
