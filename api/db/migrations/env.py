"""What Alembic runs: the migrations, in the transaction of the connection that it was given."""

from alembic import context

from api.db.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
