from django.db import migrations

from executions.migrations._sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("executions", "0011_cheaper")]
    operations = [
        RunSQLFile(
            "0012_before",
            locks={"attune.execution": "SHARE ROW EXCLUSIVE"},
            reverse_locks={"attune.execution": "ACCESS EXCLUSIVE"},
        )
    ]
