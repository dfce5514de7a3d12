"""The application as a distribution."""

from __future__ import annotations

import importlib.util
from importlib.metadata import metadata, packages_distributions
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("package", ["workers", "pipelines", "config"])
def test_package_belongs_to_memstill_alone(package: str) -> None:
    """No other installed distribution owns a top-level name that memstill uses."""
    found = importlib.util.find_spec(package)

    assert found is not None
    assert str(REPOSITORY / package / "__init__.py") == found.origin
    # An editable install owns its names through a path file, which lists none of them.
    assert set(packages_distributions().get(package, [])) <= {"memstill"}


def test_distribution_cannot_be_uploaded_by_mistake() -> None:
    """An application with common top-level names must never be on a package index."""
    assert "Private :: Do Not Upload" in metadata("memstill").get_all("Classifier", [])
