from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

from executions.migrations._sql import RunSQLFile

_STATE = [
    migrations.AddField("executionevent", "old_action_ref", models.TextField(null=True)),
    migrations.AddField("executionevent", "old_parent", models.BigIntegerField(null=True)),
    migrations.AddField(
        "executionevent",
        "old_ancestors",
        ArrayField(
            models.BigIntegerField(), null=True, help_text="Null where it has not been moved."
        ),
    ),
]

_LOCKS = {
    "attune.execution": "SHARE ROW EXCLUSIVE",
    "attune.execution_inbox": "ACCESS EXCLUSIVE",
    "attune.execution_event": "ACCESS EXCLUSIVE",
}


class Migration(migrations.Migration):
    dependencies = [("executions", "0006_writer")]
    operations = [RunSQLFile("0007_moves", locks=_LOCKS, state=_STATE)]
