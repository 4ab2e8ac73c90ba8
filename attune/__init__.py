"""The project: settings, URLs, ASGI entry point and the local stack."""

__version__ = "0.1.0"
