"""Find out at once whether any message ever went by a route.

Routes are few and each block of attempts has the same ones, so an index of a few pages tells in
which blocks to look, and costs an attempt next to nothing. Without it the page of a route that was
never used reads all attempts. SQLite, with its few rows, needs none.
"""

from django.db import migrations


def summarize(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "CREATE INDEX attempt_by_route ON sending_attempt"
            " USING brin (route_id int8_minmax_multi_ops) WITH (autosummarize = on)"
        )


def forget(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX attempt_by_route")


class Migration(migrations.Migration):
    dependencies = [("sending", "0018_forgotten_and_capped")]

    operations = [migrations.RunPython(summarize, forget)]
