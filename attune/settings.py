"""Django's settings, all from the environment (see `docs/settings.md`).

Where `DATABASE_URL` is not set, and under `manage.py up`, they are those of a stack on this
machine; else they are production's, and what production needs is asked for.
"""

from __future__ import annotations

import hashlib
import os
import sys
from datetime import timedelta
from typing import Any

from attune import __version__, env, limits, redisurl
from attune.accesslog import without_traceback
from attune.local.paths import local_paths

# Django's own checks ask for 50; a shorter key is also too weak to sign tokens with.
SECRET_KEY_LENGTH = 50
METRICS_TOKEN_LENGTH = 16

_local = local_paths()
_urls = _local.default_urls()
IS_LOCAL = env.boolean("ATTUNE_LOCAL", default=not env.text("DATABASE_URL"))
ATTUNE = limits.from_env()

# --- the database -------------------------------------------------------------------------
_parts = env.database_url("DATABASE_URL", default=_urls["DATABASE_URL"])
_OPTIONS = ("dbname", "user", "password", "host", "port")
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _parts["dbname"],
        "USER": _parts.get("user", ""),
        "PASSWORD": _parts.get("password", ""),
        "HOST": _parts.get("host", ""),
        "PORT": _parts.get("port", ""),
        "OPTIONS": {
            **{key: value for key, value in _parts.items() if key not in _OPTIONS},
            # Puts every table Django makes into the schema `attune`.
            "options": f"{_parts.get('options', '')} -c search_path=attune,public".strip(),
            "connect_timeout": int(_parts.get("connect_timeout", "5")),
            # Bounded, whatever comes in; and a request does not start a server process.
            "pool": {"min_size": 0, "max_size": ATTUNE.database_connections, "timeout": 5},
        },
        "CONN_HEALTH_CHECKS": True,
    }
}
# A direct connection for LISTEN, where DATABASE_URL goes through a pooling bouncer.
LISTEN_DATABASE = env.database_url("ATTUNE_LISTEN_DATABASE_URL")
# A cursor that the next statement goes on with may be in another session there.
DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = bool(LISTEN_DATABASE)
# Whether writers NOTIFY even while a worker polls; `migrate` tells the triggers.
NOTIFY = env.choice("ATTUNE_NOTIFY", default="always", among=("always", "adaptive"))
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- secrets and hosts --------------------------------------------------------------------
SECRET_KEY = env.text("ATTUNE_SECRET_KEY") or (_local.read_secret_key() if IS_LOCAL else "")
if len(SECRET_KEY) < SECRET_KEY_LENGTH:
    raise env.refuse(
        "ATTUNE_SECRET_KEY",
        f"set it to a random text of at least {SECRET_KEY_LENGTH} characters"
        if not SECRET_KEY
        else f"too short ({len(SECRET_KEY)} characters); use at least {SECRET_KEY_LENGTH}",
    )
DEBUG = env.boolean("ATTUNE_DEBUG", default=False)
ALLOWED_HOSTS = env.words(
    "ATTUNE_ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"] if IS_LOCAL else []
)
if not ALLOWED_HOSTS:
    raise env.refuse("ATTUNE_ALLOWED_HOSTS", "set it to the host names this server answers to")

HTTPS = env.boolean("ATTUNE_HTTPS", default=not IS_LOCAL)
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
# Requests are refused by attune/sizes.py already; this is for what Django adds itself.
DATA_UPLOAD_MAX_MEMORY_SIZE = ATTUNE.body_bytes

# Nothing inline, nothing from elsewhere: what gets into a page as markup runs no script.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],  # Swagger UI's own icons
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
    }
}
# Tokens and tickets only: no cookie of ours goes with a request from another origin.
CORS_ALLOWED_ORIGINS = env.origins("ATTUNE_CORS_ORIGINS")
CORS_URLS_REGEX = r"^/api/v1/"
CORS_ALLOW_HEADERS = ["accept", "authorization", "cache-control", "content-type", "last-event-id"]
CORS_ALLOW_METHODS = ["GET", "PATCH", "POST"]
CORS_EXPOSE_HEADERS = ["X-Attune-Cursor", "X-Request-ID", "Retry-After"]

# Only behind a proxy that sets or strips this header itself: anyone else could forge it.
TRUST_PROXY = env.boolean("ATTUNE_TRUST_PROXY", default=False)
if TRUST_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# --- who may read the metrics, and where a worker shows its own ----------------------------
METRICS_TOKEN = env.text("ATTUNE_METRICS_TOKEN")
if METRICS_TOKEN and len(METRICS_TOKEN) < METRICS_TOKEN_LENGTH:
    raise env.refuse("ATTUNE_METRICS_TOKEN", f"use at least {METRICS_TOKEN_LENGTH} characters")
WORKER_METRICS = env.address("ATTUNE_WORKER_METRICS")

# --- the channel layer --------------------------------------------------------------------
REDIS_URLS = env.redis_urls("REDIS_URL", default=_urls["REDIS_URL"] if IS_LOCAL else "")
# What else is kept in Redis, in the first of them; not shared with an installation whose key
# is another one.
REDIS_PREFIX = f"attune:{hashlib.sha256(b'attune.redis:' + SECRET_KEY.encode()).hexdigest()[:8]}:"


def _layer(urls: list[str]) -> dict[str, Any]:
    return {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {
            "hosts": [redisurl.layer_host(url) for url in urls],
            # Sealed: whoever can write to Redis can delay an event, but neither forge nor
            # read one. See streaming/sealing.py.
            "serializer_format": "attune-sealed",
            "symmetric_encryption_keys": [f"attune.layer:{SECRET_KEY}"],
        },
    }


# Events go by a layer for each Redis (streaming/shards.py), which says itself what goes where.
CHANNEL_LAYERS = {
    "default": _layer(REDIS_URLS),
    **{f"shard{number}": _layer([url]) for number, url in enumerate(REDIS_URLS)},
}

# --- the application ----------------------------------------------------------------------
INSTALLED_APPS = [
    # Makes that command an ASGI server. It loads Twisted, which nothing else here has a use for.
    *(["daphne"] if sys.argv[1:2] == ["runserver"] else []),
    # Before channels: both have a command `runworker`, and the first app listed wins.
    "streaming",
    "executions",
    "attune.accounts",
    "attune",
    "channels",
    "guardian",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "knox",
    "corsheaders",
    "csp",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "attune.accounts.middleware.SignInThrottled",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "attune.urls"
ASGI_APPLICATION = "attune.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "/static/"
TIME_ZONE = "UTC"
USE_TZ = True

# --- who may come in ----------------------------------------------------------------------
AUTHENTICATION_BACKENDS = [
    "attune.accounts.backends.ThrottledBackend",
    "guardian.backends.ObjectPermissionBackend",
]
LOGIN_URL = LOGOUT_REDIRECT_URL = "sign-in"
LOGIN_REDIRECT_URL = "home"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator")
]
GUARDIAN_RAISE_403 = True
ANONYMOUS_USER_NAME = None  # nobody anonymous sees anything, so no such row
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(
        seconds=env.integer("ATTUNE_ACCESS_TOKEN_SECONDS", default=3600, low=1, high=86_400)
    ),
    "REFRESH_TOKEN_LIFETIME": timedelta(
        seconds=env.integer(
            "ATTUNE_REFRESH_TOKEN_SECONDS", default=7 * 86_400, low=60, high=90 * 86_400
        )
    ),
    # Derived where none is given, so that no token is ever signed with the cookies' key.
    "SIGNING_KEY": env.text("ATTUNE_JWT_SIGNING_KEY")
    or hashlib.sha256(b"attune.jwt:" + SECRET_KEY.encode()).hexdigest(),
    "AUTH_HEADER_TYPES": ("Bearer",),
    "USER_ID_FIELD": "pk",
    # A token of another application that shares the key is none of ours.
    "ISSUER": "attune",
    "AUDIENCE": "attune",
    "CHECK_REVOKE_TOKEN": True,  # a new password ends all that was given for the old one
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
}
REST_KNOX = {"TOKEN_PREFIX": "attune_", "AUTH_HEADER_PREFIX": "Bearer"}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "attune.accounts.authentication.AccessTokens",
        "attune.accounts.authentication.MachineTokens",
        "attune.accounts.authentication.Sessions",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["executions.api.jsontext.Renderer"],
    "DEFAULT_PAGINATION_CLASS": "executions.api.pagination.Pages",
    "DEFAULT_PARSER_CLASSES": [
        "executions.api.parsers.Json",
        "rest_framework.parsers.FormParser",
    ],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_METADATA_CLASS": None,  # no OPTIONS: OpenAPI says it all
    "EXCEPTION_HANDLER": "executions.api.errors.handle",
    "URL_FORMAT_OVERRIDE": None,  # no `?format=`: there is one
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "attune",
    "DESCRIPTION": "Executions of an automation platform: as they are, and as they change.",
    "VERSION": __version__,
    "OAS_VERSION": "3.1.0",
    "ENUM_NAME_OVERRIDES": {"Status": "executions.status.STATUSES"},
    "PREPROCESSING_HOOKS": ["executions.api.openapi.one_path_each"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "streaming.openapi.add_stream",
        "executions.api.openapi.add_errors",
    ],
}

# --- manage.py track ----------------------------------------------------------------------
TRACK_FOLDER = _local.data / "track"  # what could not be recorded yet
OUTER_TZ = os.environ.get("TZ")  # which Django sets for itself, and a tracked command shall not see

# --- manage.py watch, which is a client ---------------------------------------------------
WATCH = {
    "url": env.text("ATTUNE_URL", "http://127.0.0.1:8080"),
    "token": env.text("ATTUNE_TOKEN"),
    "username": env.text("ATTUNE_USERNAME"),
    "password": env.text("ATTUNE_PASSWORD"),
}
if IS_LOCAL and not WATCH["username"]:
    # Whom `manage.py up` makes on its own database.
    WATCH |= {"username": "demo", "password": "demo"}

LOG_FORMAT = env.choice("ATTUNE_LOG_FORMAT", default="text", among=("text", "json"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "no_traceback": {
            "()": "django.utils.log.CallbackFilter",
            "callback": without_traceback,
        }
    },
    "formatters": {
        "text": {"()": "attune.logs.TextFormatter"},
        "json": {"()": "attune.logs.JsonFormatter"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "attune": {"level": env.text("ATTUNE_LOG_LEVEL", "INFO").upper()},
        # Where one sits beside the terminal, its own requests say nothing new.
        "attune.request": {"level": "WARNING"} if IS_LOCAL else {},
        "django.security.DisallowedHost": {"filters": ["no_traceback"]},
    },
}
