from django.db import migrations

from executions.migrations._sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("executions", "0001_initial")]
    operations = [
        RunSQLFile(
            "0002_rules",
            locks=dict.fromkeys(
                ["attune.execution", "attune.action", "attune.pack", "auth_user"],
                "ACCESS EXCLUSIVE",
            ),
        )
    ]
