"""What a username and a password may look like."""

from __future__ import annotations

USERNAME = r"[a-z0-9][a-z0-9._-]{0,63}"
"""Usernames become part of an object's key: nothing else gets near one."""
LONGEST_PASSWORD = 1024
"""In characters."""
