"""Write the golden files that are missing: ``python -m tests.wire``, after a version was raised."""

from __future__ import annotations

import json
import sys

from tests.wire.formats import FORMATS


def main() -> None:
    """Write each newest version that has no file; one that is there stays as it is."""
    for form in FORMATS:
        path = form.golden(form.version)
        if not path.exists():
            text = json.dumps(form.written(), indent=2, ensure_ascii=False)
            path.write_text(f"{text}\n", encoding="utf-8")
            sys.stdout.write(f"{path.name}\n")


if __name__ == "__main__":
    main()
