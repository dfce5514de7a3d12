"""The manifests are what a cluster takes: rendered by Kustomize, held against its schemas."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.keda import v1alpha1 as keda
from pydantic import ValidationError

from memstill_client.queue_format import intake_queue
from tests.unit.kubernetes.rendering import (
    MANIFESTS,
    OVERLAYS,
    Resource,
    container_of,
    of_kind,
    pod_of,
    render,
    render_folder,
)

if TYPE_CHECKING:
    from pathlib import Path

OLDEST, NEWEST = "1.32", "1.37"
WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob")
KEDA = {
    "ScaledObject": keda.ScaledObject,
    "TriggerAuthentication": keda.TriggerAuthentication,
}


def check(resource: Resource, version: str) -> None:
    """Hold a resource against its schema; a field that the schema has not got is an error."""
    if resource["kind"] in KEDA:
        told = KEDA[resource["kind"]].model_validate(resource)
        # The models let pass what they do not know, and forget it.
        assert told.model_dump(by_alias=True, exclude_none=True, mode="json") == resource
    else:
        kubernetes_validate.validate(resource, version, strict=True)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlay_is_what_its_schemas_say(overlay: str, version: str) -> None:
    """Of the oldest release that is meant, and of the newest that is known."""
    for resource in render(overlay):
        check(resource, version)


def test_schemas_refuse_what_is_misspelt_or_of_another_type() -> None:
    """So the test above can fail, for Kubernetes' own kinds and for KEDA's."""
    deployment = copy.deepcopy(of_kind(render("production"), "Deployment")["memstill-beat"])
    container_of(deployment)["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        check(deployment, NEWEST)

    scaled = copy.deepcopy(of_kind(render("production"), "ScaledObject")["memstill-distill"])
    scaled["spec"]["maxReplicas"] = 3
    with pytest.raises(AssertionError):
        check(scaled, NEWEST)
    scaled["spec"] = {"scaleTargetRef": {"name": "memstill-distill"}, "triggers": "many"}
    with pytest.raises(ValidationError):
        check(scaled, NEWEST)


@pytest.mark.parametrize("component", ["archive", "langgraph"])
def test_component_adds_a_cronjob_like_the_others(component: str, tmp_path: Path) -> None:
    """With the same pod, whatever overlay takes it in."""
    folder = _overlay_with(tmp_path, component)

    found = of_kind(render_folder(folder), "CronJob")

    (name,) = set(found) - set(of_kind(render("dev"), "CronJob"))
    check(found[name], NEWEST)
    one = container_of(found[name]) | {"command": None}
    assert one == container_of(found["memstill-decay"]) | {"command": None}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_run_as_nobody_and_write_nowhere_but_where_they_may(overlay: str) -> None:
    """Not root, no capability, no token of the cluster, a file system that is read."""
    found = of_kind(render(overlay), *WORKLOADS)
    assert len(found) > 10
    for name, resource in found.items():
        pod, container = pod_of(resource)["spec"], container_of(resource)
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert "RuntimeDefault" == pod["securityContext"]["seccompProfile"]["type"], name
        assert pod["automountServiceAccountToken"] is False, name
        inside = container["securityContext"]
        assert {"drop": ["ALL"]} == inside["capabilities"], name
        assert inside["readOnlyRootFilesystem"], name
        assert inside["allowPrivilegeEscalation"] is False, name
        assert {"cpu", "memory"} == set(container["resources"]["requests"]), name
        assert "memory" in container["resources"]["limits"], name


def test_production_keeps_no_secret_and_names_those_it_wants() -> None:
    """Nothing that is secret is rendered."""
    resources = render("production")
    assert {} == of_kind(resources, "Secret")

    named = {ref["name"] for resource in resources for ref in _secrets_of(resource)}

    assert {"memstill", "memstill-jobs", "memstill-scaling"} == named


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_reached_and_reach_only_what_a_policy_names(overlay: str) -> None:
    """One policy shuts all pods off, and each that opens something chooses pods that exist."""
    resources = render(overlay)
    policies = of_kind(resources, "NetworkPolicy")
    labels = {
        n: pod_of(it)["metadata"]["labels"] for n, it in of_kind(resources, *WORKLOADS).items()
    }
    own = {name for name, it in labels.items() if it.get("app.kubernetes.io/part-of")}
    shut = policies["memstill-nothing"]["spec"]
    assert ["Ingress", "Egress"] == shut["policyTypes"]
    assert not {"ingress", "egress"} & set(shut)

    assert own == _chosen_by(shut, labels)
    for name, policy in policies.items():
        assert _chosen_by(policy["spec"], labels), name
    stores = _chosen_by(policies["memstill-stores"]["spec"], labels)
    jobs = _chosen_by(policies["memstill-jobs"]["spec"], labels)
    assert own == stores | jobs
    assert set() == stores & jobs


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_that_chooses_pods_chooses_some(overlay: str) -> None:
    """Services, budgets, autoscalers."""
    resources = render(overlay)
    workloads = of_kind(resources, *WORKLOADS)
    labels = {name: pod_of(it)["metadata"]["labels"] for name, it in workloads.items()}
    for name, service in of_kind(resources, "Service").items():
        assert {name} == _matching(service["spec"]["selector"], labels)
    for name, budget in of_kind(resources, "PodDisruptionBudget").items():
        assert {name} == _matching(budget["spec"]["selector"]["matchLabels"], labels)
    for scaler in of_kind(resources, "HorizontalPodAutoscaler", "ScaledObject").values():
        target = workloads[scaler["spec"]["scaleTargetRef"]["name"]]
        assert "replicas" not in target["spec"], "each apply would undo the scaling"


def test_intake_is_scaled_by_its_queue_where_rabbitmq_takes_the_place_of_redis(
    tmp_path: Path,
) -> None:
    """The Stream is asked by nobody then."""
    resources = render_folder(_overlay_with(tmp_path, "keda", "rabbitmq"))

    scaled = of_kind(resources, "ScaledObject")["memstill-intake"]
    queue, rows = scaled["spec"]["triggers"]
    assert intake_queue("memstill") == queue["metadata"]["queueName"]
    assert "postgresql" == rows["type"]
    for resource in (scaled, of_kind(resources, "TriggerAuthentication")["memstill-rabbitmq"]):
        check(resource, NEWEST)


def _overlay_with(tmp_path: Path, *components: str) -> Path:
    folder = tmp_path / "overlay"
    folder.mkdir()
    # Kustomize wants relative paths.
    up = "/".join([".."] * len(folder.resolve().parts[1:]))
    lines = {
        "resources": [f"{up}{MANIFESTS}/base"],
        "components": [f"{up}{MANIFESTS}/components/{component}" for component in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(lines))
    return folder


def _secrets_of(resource: Resource) -> list[Resource]:
    if resource["kind"] == "TriggerAuthentication":
        found: list[Resource] = resource["spec"]["secretTargetRef"]
        return found
    if resource["kind"] not in WORKLOADS:
        return []
    container = container_of(resource)
    whole = [it["secretRef"] for it in container.get("envFrom", []) if "secretRef" in it]
    values = [it.get("valueFrom", {}).get("secretKeyRef") for it in container.get("env", [])]
    return [*whole, *filter(None, values)]


def _chosen_by(policy: Resource, labels: dict[str, dict[str, str]]) -> set[str]:
    return _matching(policy["podSelector"]["matchLabels"], labels)


def _matching(selector: dict[str, str], labels: dict[str, dict[str, str]]) -> set[str]:
    return {name for name, its in labels.items() if selector.items() <= its.items()}
