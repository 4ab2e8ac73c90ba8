from django.db import migrations

from executions.migrations._sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("executions", "0008_validate")]
    operations = [RunSQLFile("0009_epoch", locks={})]
