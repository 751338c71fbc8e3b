"""Changing the gateway's secret: each step on the text as it is at that moment, so that nobody's change is lost."""

from __future__ import annotations

from collections.abc import Callable

from gatehouse.cli.problems import RefusedError
from gatehouse.stores.key_ring_secret import KeyRingSecret

ATTEMPTS = 3


def changed(arn: str, step: Callable[[str], str], *, see: str) -> str:
    """Take *step* on the text of the secret *arn*, anew if somebody else was faster, and return what it is then.

    *see* is the command that shows what there is now. What *step* raises ends it: then nothing is changed.

    Raises:
        RefusedError: somebody else changes the secret all the time.
    """
    secret = KeyRingSecret(arn)
    for _ in range(ATTEMPTS):
        document, version = secret.read()
        text = step(document)
        if secret.replace(text, version):
            return text
    raise RefusedError(f"somebody else is changing the secret at the same time; see '{see}', and try again")
