"""What stands in a text where something was taken out of it."""

from __future__ import annotations

import re

from config.policy import PersonalKind

PLACEHOLDER = re.compile(rf"\[(?:redacted:[\w-]+|(?:{'|'.join(PersonalKind)})(?:-\d+)?)\]")
"""Of a secret, ``[redacted:api-key]``, or of personal data, ``[email-1]`` or ``[email]``."""
