from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sending', '0011_facts_told_once'),
        ('sending', '0011_track_opens_and_clicks'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='event',
            index=models.Index(condition=models.Q(('kind__in', ('queued', 'sending', 'sent')), _negated=True), fields=['kind', '-id'], name='event_by_kind'),
        ),
    ]
