"""Alembic's entry: runs inside the transaction that `shared.persistence.migrate` opened.

Imports no service: revisions are written out, so an image needs only the shared kernel to migrate.
"""

from alembic import context

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    context.configure(connection=context.config.attributes["connection"])
    context.run_migrations()
