"""Rights on packs, given and taken as the admin does, in plain SQL."""

from __future__ import annotations

from tests.rows import Connection

_VIEW_PACK = """
    SELECT p.id, p.content_type_id, pack.id::text FROM attune.auth_permission p, attune.pack
    WHERE p.codename = 'view_pack' AND pack.ref = %(pack)s
"""


def grant(conn: Connection, pack: str, *, user: str) -> None:
    """Let this user see the executions of a restricted pack."""
    conn.execute(
        "INSERT INTO attune.guardian_userobjectpermission"
        " (permission_id, content_type_id, object_pk, user_id)"
        f" SELECT p.*, u.id FROM ({_VIEW_PACK}) p, attune.auth_user u WHERE u.username = %(user)s",
        {"pack": pack, "user": user},
    )


def withdraw(conn: Connection, *, user: str) -> None:
    """Take all that was given to this user alone."""
    conn.execute(
        "DELETE FROM attune.guardian_userobjectpermission WHERE user_id ="
        " (SELECT id FROM attune.auth_user WHERE username = %s)",
        [user],
    )


def grant_group(conn: Connection, pack: str, *, group: str) -> None:
    """Make a group that may see the executions of a restricted pack."""
    conn.execute("INSERT INTO attune.auth_group (name) VALUES (%s)", [group])
    conn.execute(
        "INSERT INTO attune.guardian_groupobjectpermission"
        " (permission_id, content_type_id, object_pk, group_id)"
        f" SELECT p.*, g.id FROM ({_VIEW_PACK}) p, attune.auth_group g WHERE g.name = %(group)s",
        {"pack": pack, "group": group},
    )


def join_group(conn: Connection, group: str, *, user: str) -> None:
    conn.execute(
        "INSERT INTO attune.auth_user_groups (user_id, group_id) SELECT u.id, g.id"
        " FROM attune.auth_user u, attune.auth_group g WHERE u.username = %s AND g.name = %s",
        [user, group],
    )


def leave_groups(conn: Connection, *, user: str) -> None:
    conn.execute(
        "DELETE FROM attune.auth_user_groups WHERE user_id ="
        " (SELECT id FROM attune.auth_user WHERE username = %s)",
        [user],
    )
