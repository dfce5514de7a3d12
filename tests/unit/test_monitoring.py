"""What is shipped for those who watch: dashboard, alerts, runbook and the list of metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from promql_parser import AggregateExpr, VectorSelector, parse, walk

from workers.metrics import catalogue, stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REPOSITORY = Path(__file__).parents[2]
MONITORING, DOCS = REPOSITORY / "k8s" / "monitoring", REPOSITORY / "docs"
# What a histogram is stored as; and what the client of Prometheus and Prometheus itself add.
HISTOGRAM = {"_bucket": {"le"}, "_count": set[str](), "_sum": set[str]()}
OF_PROCESSES = {"process_resident_memory_bytes": set[str]()}
OF_PROMETHEUS = {"job", "instance"}


def recorded() -> dict[str, tuple[str, ...]]:
    """Metrics of the catalogue, by name."""
    found = [value for value in vars(catalogue).values() if hasattr(value, "_labelnames")]
    endings = {"counter": "_total"}
    return {metric._name + endings.get(metric._type, ""): metric._labelnames for metric in found}


def listed() -> dict[str, tuple[str, ...]]:
    """Every metric that memstill hands out."""
    return recorded() | {name: told.labels for name, told in stored.GAUGES.items()}


def stored_series() -> dict[str, set[str]]:
    """What can be asked for, with its labels."""
    series = {name: set(labels) for name, labels in listed().items()} | OF_PROCESSES
    for name, labels in recorded().items():
        if name.endswith("_seconds"):
            series |= {name + ending: set(labels) | more for ending, more in HISTOGRAM.items()}
    return series


SERIES = stored_series()


def dashboard_expressions() -> Iterator[tuple[str, str]]:
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    for panel in panels:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


EXPRESSIONS = [
    *dashboard_expressions(),
    *((rule["alert"], rule["expr"]) for rule in alerts()),
]


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS)
def test_expression_asks_for_what_memstill_hands_out(where: str, expression: str) -> None:
    """By its name and labels: a panel or an alert that asks for nothing would never speak."""
    unknown = list(unknown_in(parse(expression), SERIES))

    assert [] == unknown, where


def unknown_in(expression: Any, series: Mapping[str, set[str]]) -> Iterator[str]:  # noqa: ANN401
    selected = found_in(expression, VectorSelector)
    assert selected
    for vector in selected:
        if vector.name not in series:
            yield f"no metric {vector.name}"
            continue
        named = {matcher.name for matcher in vector.matchers.matchers}
        yield from (
            f"{vector.name} has no {it}" for it in named - series[vector.name] - OF_PROMETHEUS
        )
    for sum_of in found_in(expression, AggregateExpr):
        within = {label for it in found_in(sum_of, VectorSelector) for label in series[it.name]}
        told_apart = set(sum_of.modifier.labels) if sum_of.modifier else set[str]()
        yield from (f"nothing has {label}" for label in told_apart - within - OF_PROMETHEUS)


def found_in(expression: Any, kind: type) -> list[Any]:  # noqa: ANN401
    found: list[Any] = []
    walk(expression, lambda part: found.append(part) if isinstance(part, kind) else None)
    return found


def test_expression_about_what_is_not_there_is_found_out() -> None:
    """The check itself."""
    for wrong in (
        "rate(memstill_sessions_total[5m])",
        'memstill_queue_due{lane="x"}',
        "sum by (tenant) (memstill_queue_due)",
    ):
        assert list(unknown_in(parse(wrong), SERIES))


def test_every_alert_has_its_paragraph_in_the_runbook_and_no_other_has() -> None:
    """Whoever is woken finds what to do under the name of the alert."""
    runbook = (DOCS / "runbook.md").read_text()
    paragraphs = dict(re.findall(r"^## (\w+)\n(\S.+)$", runbook, re.MULTILINE))

    assert [rule["alert"] for rule in alerts()] == list(paragraphs)
    for rule in alerts():
        anchor = f"docs/runbook.md#{rule['alert'].lower()}"
        assert anchor == rule["annotations"]["runbook"]
        assert rule["labels"]["severity"] in {"page", "ticket"}


def test_documentation_lists_every_metric_with_its_labels() -> None:
    """What is there, and nothing else."""
    page = (DOCS / "observability.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| ([\w, `]*) \| \S.* \|$", page, re.MULTILINE)

    assert {name: tuple(re.findall(r"\w+", labels)) for name, labels in rows} == listed()


def test_label_names_are_no_ids_and_none_of_prometheus() -> None:
    """Each holds one of a few names; Prometheus would rename its own."""
    labels = {label for of in listed().values() for label in of}

    assert not labels & {"tenant", "tenant_id", "user", "user_id", "session", "receipt", "le"}
    assert not labels & OF_PROMETHEUS
