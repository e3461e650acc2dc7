from django.db import migrations


def name_kinds(apps, schema_editor):
    orders = apps.get_model("sending", "Suppression").objects
    orders.filter(address__startswith="@").update(kind="domain")


class Migration(migrations.Migration):

    dependencies = [
        ("sending", "0013_suppressions_by_reason"),
    ]

    operations = [
        migrations.RunPython(name_kinds, migrations.RunPython.noop),
    ]
