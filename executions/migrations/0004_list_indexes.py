"""What lists and statistics need at millions of rows, built beside writers that go on."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations
from django.db.models import F, Func, Index, Value


class Migration(migrations.Migration):
    atomic = False  # CREATE INDEX CONCURRENTLY; one that was stopped is dropped by hand

    dependencies = [("executions", "0003_log")]
    operations = [
        AddIndexConcurrently("execution", Index(F("updated"), name="execution_updated")),
        AddIndexConcurrently(
            "execution",
            Index(
                Func(F("action_ref"), Value("."), Value(1), function="split_part"),
                F("id"),
                name="execution_pack",
            ),
        ),
    ]
