from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt import views

from attune.accounts import credentials, tickets
from attune.accounts.serializers import RefreshSerializer, TicketSerializer

# Comments and not docstrings, where OpenAPI would show them.


@extend_schema(
    summary="Sign in",
    description="429 after too many wrong passwords, from one address or for one user.",
)
class TokenView(views.TokenObtainPairView):
    pass


@extend_schema(
    summary="New tokens for a refresh token",
    description="Each refresh token is good for one use. A new password ends all of them.",
)
class RefreshView(views.TokenRefreshView):
    serializer_class = RefreshSerializer


@extend_schema(
    summary="Sign out",
    description="The refresh token is no good any more; access tokens end by themselves.",
    responses={200: {"type": "object"}},
)
class BlacklistView(views.TokenBlacklistView):
    pass


class TicketView(APIView):
    @extend_schema(
        operation_id="executions_stream_ticket",
        summary="A one-time ticket for an EventSource, which cannot send a header",
        description="Used as `?ticket=` of the stream, once, within `expires_in` seconds. The"
        " connect exchanges it for a cookie, with which an EventSource reconnects by itself.",
        tags=["executions"],
        request=None,
        responses={200: TicketSerializer},
    )
    def post(self, request: Request) -> Response:
        ticket = tickets.issue(credentials.of_request(request))
        answer = {"ticket": ticket, "expires_in": tickets.TICKET_SECONDS}
        return Response(answer, headers={"Cache-Control": "no-store"})
