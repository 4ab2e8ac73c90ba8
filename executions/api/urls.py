from __future__ import annotations

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from executions.api.openapi import DocsView, SchemaView
from executions.api.views import ActionViewSet, ExecutionViewSet, PackViewSet, Unknown

router = SimpleRouter()
router.trailing_slash = "/?"
router.register("executions", ExecutionViewSet, basename="execution")
router.register("packs", PackViewSet, basename="pack")
router.register("actions", ActionViewSet, basename="action")

urlpatterns = [
    re_path(r"^schema/?$", SchemaView.as_view(), name="schema"),
    re_path(r"^docs/?$", DocsView.as_view(), name="docs"),
    path("", include(router.urls)),
    re_path(r"", Unknown.as_view()),
]
