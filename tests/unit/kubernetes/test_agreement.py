"""The manifests agree with the code: queues, jobs, settings, commands, budgets."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import yaml
from click import Context
from typer.main import get_command

from config.operation import STOP_GRACE
from config.schedule import CRON_JOBS, JOBS, Job
from config.settings import Settings
from tests.unit.kubernetes.rendering import (
    MANIFESTS,
    OVERLAYS,
    Resource,
    command_of,
    container_of,
    of_kind,
    pod_of,
    render,
)
from workers.app import make_app
from workers.cli import app as memstill
from workers.heartbeat import PATIENCE_SECONDS
from workers.queues import BACKFILL, QUEUES

if TYPE_CHECKING:
    from click import Group

WORKLOADS = ("Deployment", "Job", "CronJob")
# What the client reads, beside the settings of the servers.
CLIENT_VARIABLES = frozenset({"MEMSTILL_API_URL", "MEMSTILL_API_KEY"})
OPTIONAL = {"archive": Job.ARCHIVE, "langgraph": Job.CLEAN_LANGGRAPH}


def workers() -> dict[str, Resource]:
    found = of_kind(render("production"), "Deployment")
    return {name: it for name, it in found.items() if "worker" in command_of(it)}


def option_of(resource: Resource, name: str) -> str:
    """The value of an option of ``celery worker``."""
    command = command_of(resource)
    return command[command.index(name) + 1]


def test_every_queue_is_consumed_by_exactly_one_deployment() -> None:
    """One that nobody consumes would fill up unseen; two could not be scaled apart."""
    consumed = [queue for it in workers().values() for queue in option_of(it, "-Q").split(",")]

    assert sorted({*QUEUES.values(), BACKFILL}) == sorted(consumed)


def test_exactly_one_deployment_reads_the_intake_and_it_is_on_threads() -> None:
    """A worker of processes reads no Stream."""
    readers = {name for name, it in workers().items() if "--no-intake" not in command_of(it)}

    assert {"memstill-intake"} == readers
    assert "threads" == option_of(workers()["memstill-intake"], "-P")
    assert "prefork" == option_of(workers()["memstill-consolidate"], "-P")


def test_workers_and_beat_are_started_with_options_that_celery_takes() -> None:
    """Each command line is parsed by Celery's own command."""
    from celery.bin.base import CLIContext
    from celery.bin.celery import celery
    from celery.bin.worker import worker as worker_command

    app = make_app(Settings())
    for option in app.user_options["worker"]:
        if option.name not in {it.name for it in worker_command.params}:
            worker_command.params.append(option)
    for resource in [
        *workers().values(),
        of_kind(render("production"), "Deployment")["memstill-beat"],
    ]:
        name, dash_a, application, role, *rest = command_of(resource)
        assert ["celery", "-A", "workers.app"] == [name, dash_a, application]
        command = celery.commands[role]
        context = Context(command, obj=CLIContext(app, no_color=True, workdir=None))
        command.parse_args(context, rest)
        assert [] == context.args


def test_every_job_that_beat_leaves_alone_has_a_cronjob() -> None:
    """Those of optional parts in the component that turns them on; frequent ones stay with beat."""
    rendered = of_kind(render("production"), "CronJob")
    fired = {command_of(it)[2] for it in rendered.values()}
    for component, job in OPTIONAL.items():
        (extra,) = _read(f"components/{component}/cronjob.yaml")
        assert ["memstill", "run", job.value] == command_of(extra)
        fired.add(job.value)

    assert {job.value for job in CRON_JOBS} == fired
    (settings,) = of_kind(render("production"), "ConfigMap").values()
    left = Settings(beat=settings["data"]["MEMSTILL_BEAT"]).beat_schedule().jobs
    assert set(JOBS) - CRON_JOBS == set(left) | {Job.BATCHES}


def test_every_cronjob_fires_at_least_once_in_each_slot_of_its_job() -> None:
    """Daily ones once a day, hourly ones once an hour, and no two at the same minute."""
    found = of_kind(render("production"), "CronJob")
    schedules = {command_of(it)[2]: it["spec"]["schedule"] for it in found.values()}
    for component, job in OPTIONAL.items():
        (extra,) = _read(f"components/{component}/cronjob.yaml")
        schedules[job.value] = extra["spec"]["schedule"]

    for name, schedule in schedules.items():
        assert JOBS[Job(name)].interval == _interval_of(schedule), name
    assert len(schedules) == len(set(schedules.values()))
    for cronjob in found.values():
        assert "Etc/UTC" == cronjob["spec"]["timeZone"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_variable_is_a_setting(overlay: str) -> None:
    """A misspelt one would be ignored in silence; no Service adds one by its name."""
    resources = render(overlay)
    known = {f"MEMSTILL_{name.upper()}" for name in Settings.model_fields} | CLIENT_VARIABLES
    for name, it in of_kind(resources, "ConfigMap", "Secret").items():
        found = {key for key in (it.get("data") or {}) if name == "memstill"}
        assert found <= known, name
    for name, it in of_kind(resources, *WORKLOADS).items():
        variables = {variable["name"] for variable in container_of(it).get("env", [])}
        assert variables - {"HOME"} <= known, name
        assert pod_of(it)["spec"]["enableServiceLinks"] is False, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_of_each_process_are_taken(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their values, too: each process could start with them, and the API asks for keys."""
    resources = render(overlay)
    shared = of_kind(resources, "ConfigMap")["memstill"]["data"]
    for name, it in of_kind(resources, "Deployment").items():
        own = {one["name"]: one["value"] for one in container_of(it)["env"] if "value" in one}
        with monkeypatch.context() as patch:
            for key, value in {**shared, **own}.items():
                patch.setenv(key, value)
            assert Settings().needs_keys, name


def test_every_command_and_probe_exists() -> None:
    """Of ``memstill``, with its options; and every path that is probed is one of the API's."""
    commands: Group = get_command(memstill)  # type: ignore[assignment]
    for name, it in of_kind(render("production"), *WORKLOADS).items():
        container = container_of(it)
        probes = [container[key] for key in container if key.endswith("Probe")]
        named = [probe["exec"]["command"] for probe in probes if "exec" in probe]
        for program, verb, *rest in [*named, command_of(it)]:
            if program == "celery":
                continue
            assert "memstill" == program, name
            command = commands.commands[verb]
            command.make_context(verb, rest, resilient_parsing=False)
        paths = {probe["httpGet"]["path"] for probe in probes if "httpGet" in probe}
        assert paths <= {"/healthz", "/readyz"}, name


def test_every_process_that_goes_on_is_watched() -> None:
    """By the age of a file in a folder that it may write, or by what it answers."""
    for name, it in of_kind(render("production"), "Deployment").items():
        container = container_of(it)
        probe = container["livenessProbe"]
        patience = probe["periodSeconds"] * probe["failureThreshold"]
        assert patience >= PATIENCE_SECONDS, f"{name} would be killed for a short pause"
        if "exec" in probe:
            assert ["memstill", "health", "--worker"] == probe["exec"]["command"]
            values = {one["name"]: one.get("value", "") for one in container["env"]}
            assert values["MEMSTILL_HEARTBEAT_FILE"].startswith("/tmp/")


def test_worker_is_given_the_time_that_its_tasks_may_take() -> None:
    """In a cluster and on one machine."""
    for name, it in workers().items():
        grace = timedelta(seconds=pod_of(it)["spec"]["terminationGracePeriodSeconds"])
        assert STOP_GRACE <= grace, name
    compose = yaml.safe_load((MANIFESTS.parent / "docker-compose.yml").read_text())
    stated = compose["services"]["worker"]["stop_grace_period"]
    assert STOP_GRACE <= timedelta(seconds=float(stated.removesuffix("s")))


def _read(path: str) -> list[Resource]:
    return list(yaml.safe_load_all((MANIFESTS / path).read_text()))


def _interval_of(schedule: str) -> timedelta:
    assert re.fullmatch(r"\d+ (\d+|\*) \* \* \*", schedule), schedule
    return timedelta(hours=1) if schedule.split()[1] == "*" else timedelta(days=1)
