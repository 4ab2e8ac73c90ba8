from django.db import migrations

from executions.migrations._sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("executions", "0004_list_indexes")]
    operations = [
        RunSQLFile(
            "0005_pack_times",
            locks=dict.fromkeys(["attune.pack", "attune.action"], "ACCESS EXCLUSIVE"),
        )
    ]
