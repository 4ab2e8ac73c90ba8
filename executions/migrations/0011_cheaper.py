from django.db import migrations

from executions.migrations._sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("executions", "0010_row_trigger")]
    operations = [RunSQLFile("0011_cheaper", locks={"attune.execution": "SHARE ROW EXCLUSIVE"})]
