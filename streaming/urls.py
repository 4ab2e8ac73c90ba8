from __future__ import annotations

from django.urls import re_path

from streaming import views

urlpatterns = [
    re_path(r"^api/v1/executions/stream/?$", views.executions_stream, name="executions-stream"),
]
