"""The Django admin: executions and their log to look at, packs and actions to edit."""

from __future__ import annotations

from executions.admin.actions import ActionAdmin
from executions.admin.executions import ExecutionAdmin
from executions.admin.log import ExecutionEventAdmin
from executions.admin.packs import PackAdmin

__all__ = ["ActionAdmin", "ExecutionAdmin", "ExecutionEventAdmin", "PackAdmin"]
