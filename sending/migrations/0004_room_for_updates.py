"""Leave room beside each message for its later versions.

A message is updated three times on its way. Where the new version fits on the page of the old one,
marking the hand-off touches no index (HOT).
"""

from django.db import migrations


def leave_room(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE sending_message SET (fillfactor = 50)")


def fill_up(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE sending_message RESET (fillfactor)")


class Migration(migrations.Migration):
    dependencies = [("sending", "0003_fewer_indexes")]

    operations = [migrations.RunPython(leave_room, fill_up)]
