from django.db import migrations

from executions.migrations._sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("executions", "0005_pack_times")]
    operations = [RunSQLFile("0006_writer", locks={"attune.execution": "SHARE ROW EXCLUSIVE"})]
