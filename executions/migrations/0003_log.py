from django.db import migrations

from executions.migrations._sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("executions", "0002_rules")]
    operations = [RunSQLFile("0003_log", locks={"attune.execution": "ACCESS EXCLUSIVE"})]
