from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import redirect
from django.templatetags.static import static
from django.urls import include, path

from streaming.pages import ExecutionPage, ExecutionsPage, OverviewPage

# Here, not as the apps load: what answers no requests starts without it.
admin.autodiscover()
admin.site.site_header = admin.site.site_title = "attune"

handler400 = "executions.api.errors.bad_request"
handler500 = "executions.api.errors.server_error"


def favicon(request: HttpRequest) -> HttpResponseRedirect:
    """Which browsers ask for by themselves, where a page (the admin, JSON) names none."""
    return redirect(static("streaming/favicon.svg"))


urlpatterns = [
    path("favicon.ico", favicon),
    path("", ExecutionsPage.as_view(), name="home"),
    path("executions/<int:pk>/", ExecutionPage.as_view(), name="execution"),
    path("overview/", OverviewPage.as_view(), name="overview"),
    path("sign-in/", LoginView.as_view(redirect_authenticated_user=True), name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("", include("streaming.urls")),
    path("api/v1/", include("attune.accounts.urls")),
    path("api/v1/", include("executions.api.urls")),  # and whatever else is below it
    path("admin/", admin.site.urls),
]
