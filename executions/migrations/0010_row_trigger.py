from django.db import migrations

from executions.migrations._sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("executions", "0009_epoch")]
    operations = [RunSQLFile("0010_row_trigger", locks={"attune.execution": "SHARE ROW EXCLUSIVE"})]
