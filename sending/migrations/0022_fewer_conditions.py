"""Take away the conditions that the server reads anew in every statement of the mail path.

On PostgreSQL each is dropped in an instant, whatever the size of the table. On SQLite, where that
would mean to copy the tables, and where it costs nothing to keep them, they stay.
"""

import django.db.models.deletion
from django.db import migrations, models

import sending.models.message


class AlterOnPostgres(migrations.AlterField):
    """Alter a field where it can be done in place."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor == "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        self.database_forwards(app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):
    dependencies = [("sending", "0021_compact_checks")]

    operations = [
        AlterOnPostgres("attempt", "number", models.SmallIntegerField()),
        AlterOnPostgres("attempt", "duration_ms", models.IntegerField()),
        AlterOnPostgres("attempt", "reply_code", models.SmallIntegerField(default=0)),
        AlterOnPostgres(
            "attempt",
            "route",
            models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                to="sending.route",
            ),
        ),
        AlterOnPostgres("event", "attempt_number", models.SmallIntegerField(null=True)),
        AlterOnPostgres("message", "lapse_count", models.SmallIntegerField(db_default=0, default=0)),
        AlterOnPostgres(
            "message",
            "priority",
            models.SmallIntegerField(
                choices=[(0, "Accepted by itself"), (1, "Accepted with many others")],
                db_default=0,
                default=0,
            ),
        ),
    ]
