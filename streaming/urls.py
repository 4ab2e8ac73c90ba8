from __future__ import annotations

from django.urls import path, re_path

from streaming import views

urlpatterns = [
    re_path(r"^api/v1/executions/stream/?$", views.executions_stream, name="executions-stream"),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
    path("metrics", views.metrics, name="metrics"),
]
