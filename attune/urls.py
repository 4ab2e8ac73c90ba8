from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from streaming.pages import ExecutionsPage

admin.site.site_header = admin.site.site_title = "attune"

handler400 = "executions.api.errors.bad_request"
handler500 = "executions.api.errors.server_error"

urlpatterns = [
    path("", ExecutionsPage.as_view(), name="home"),
    path("sign-in/", LoginView.as_view(redirect_authenticated_user=True), name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("", include("streaming.urls")),
    path("api/v1/", include("accounts.urls")),
    path("api/v1/", include("executions.api.urls")),  # and whatever else is below it
    path("admin/", admin.site.urls),
]
