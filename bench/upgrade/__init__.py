"""Migrations beside writers: how long one of them waits at the most."""
