"""The rules of 0002 held against the rows that were there before them, beside writers."""

from django.db import migrations

_NAMES = (
    "execution_action_fk",
    "execution_parent_fk",
    "execution_executor_fk",
    "execution_action_ref_length",
    "execution_times_sane",
)


class Migration(migrations.Migration):
    atomic = False  # each takes its lock, which no writer waits for, for itself

    dependencies = [("executions", "0007_moves")]
    operations = [
        migrations.RunSQL(
            f"ALTER TABLE attune.execution VALIDATE CONSTRAINT {name}", migrations.RunSQL.noop
        )
        for name in _NAMES
    ]
