from __future__ import annotations

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

from executions.api.views import ActionViewSet, ExecutionViewSet, PackViewSet

router = SimpleRouter()
router.trailing_slash = "/?"
router.register("executions", ExecutionViewSet, basename="execution")
router.register("packs", PackViewSet, basename="pack")
router.register("actions", ActionViewSet, basename="action")

urlpatterns = [
    re_path(r"^auth/token/?$", TokenObtainPairView.as_view(), name="token"),
    re_path(r"^auth/token/refresh/?$", TokenRefreshView.as_view(), name="token-refresh"),
    path("", include(router.urls)),
]
