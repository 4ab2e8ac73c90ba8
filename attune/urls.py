from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

admin.site.site_header = admin.site.site_title = "attune"

handler400 = "executions.api.errors.bad_request"
handler500 = "executions.api.errors.server_error"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("", include("streaming.urls")),
    path("api/v1/", include("accounts.urls")),
    path("api/v1/", include("executions.api.urls")),  # and whatever else is below it
    path("admin/", admin.site.urls),
]
