from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("streaming.urls")),
    path("api/v1/", include("executions.api.urls")),
    path("admin/", admin.site.urls),
]
