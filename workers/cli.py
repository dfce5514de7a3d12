"""The command ``memstill``: the embedded stack, and everything else over its HTTP API."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from config.logs import configure_logs
from config.retrieval import Tier
from memstill_client import InvalidTranscript, MemstillError
from pipelines.errors import ConfigurationError
from pipelines.errors import MemstillError as PipelineError
from workers import backfill as backfills
from workers import (
    backup_commands,
    batch_commands,
    checkpoint_commands,
    dead_commands,
    erase_commands,
    event_commands,
    exchange_commands,
    exports,
    health_commands,
    index_commands,
    job_commands,
    key_commands,
    lifecycle_commands,
    mcp_commands,
    memory_commands,
    procedure_commands,
    profile_commands,
    promote_commands,
    redistill_commands,
    terminal,
    top_command,
)
from workers.command_options import (
    ApiUrl,
    AsJson,
    DataDir,
    Tenant,
    UserId,
    connect,
    err,
    out,
    print_json,
)
from workers.cost_table import cost_sheet
from workers.embedded.endpoints import read_endpoints

app = typer.Typer(
    help="Memory for LLM agents: push finished sessions, recall what is known.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
app.add_typer(memory_commands.app, name="memory")
app.add_typer(procedure_commands.app, name="procedures")
app.add_typer(profile_commands.app, name="profile")
app.add_typer(promote_commands.app, name="promote")
app.add_typer(batch_commands.app, name="batch")
app.add_typer(redistill_commands.app, name="redistill")
app.add_typer(erase_commands.app, name="erasures")
app.command()(erase_commands.erase)
app.add_typer(dead_commands.app, name="dead")
app.add_typer(checkpoint_commands.app, name="checkpoints")
app.command(name="import")(exchange_commands.import_)
app.command(name="health")(health_commands.health)
app.command()(top_command.top)
app.add_typer(key_commands.app, name="keys")
app.add_typer(lifecycle_commands.holds, name="holds")
app.command()(lifecycle_commands.decay)
app.add_typer(event_commands.app, name="events")
app.add_typer(event_commands.archive, name="archive")
app.command()(job_commands.jobs)
app.command()(job_commands.run)
app.command()(mcp_commands.mcp)
app.command()(index_commands.reconcile)
app.command()(index_commands.reindex)
app.command()(backup_commands.backup)
app.command()(backup_commands.restore)


def main() -> None:
    """Run a command; an error it can explain is one line and exit code 1."""
    configure_logs("warning", "console")
    try:
        app()
    except InvalidTranscript as error:
        _fail(f"refused: {error}")
    except (MemstillError, PipelineError) as error:
        _fail(str(error))
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:
        _fail(f"{error.filename or 'system'}: {error.strerror}")
    except ValidationError as error:
        _fail("; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors()))
    except UnicodeError:
        _fail("--tenant, MEMSTILL_API_KEY: must be plain ASCII; they travel as headers")


def _fail(reason: str) -> None:
    err.print(f"memstill: {reason}", markup=False)
    sys.exit(1)


@app.command()
def up(
    data: DataDir = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of the HTTP API, on the loopback.")
    ] = 8377,
) -> None:
    """Run everything on this machine: Redis, PostgreSQL, Qdrant Edge, worker, beat and API."""
    from workers.laptop import make_stack

    stack = make_stack(data, port, lambda line: err.print(line, markup=False))
    err.print(f"memstill on {stack.data_dir}; the API will listen on {stack.endpoints.api_url}")
    raise typer.Exit(stack.run_until_stopped())


@app.command()
def demo() -> None:
    """Show the main job on a stack of its own: sessions in, memories and a recall block out."""
    from workers.demo import run_demo

    raise typer.Exit(run_demo(out))


@app.command()
def enqueue(
    file: Annotated[Path, typer.Argument(help="One transcript as JSON; - reads standard input.")],
    wait: Annotated[bool, typer.Option(help="Wait until it is distilled, and show it.")] = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Push one transcript and print its receipt."""
    raw = sys.stdin.buffer.read() if str(file) == "-" else _read(file)
    with connect(api, data, tenant) as client:
        receipt = client.enqueue(raw)
        note = " (known before: nothing changed)" if receipt.is_duplicate else ""
        err.print(f"accepted{note}")
        typer.echo(str(receipt))
        if wait:
            ended = client.wait(receipt, timeout=600)
            out.print(terminal.status_view(ended))
            raise typer.Exit(1 if ended.state == "dead" else 0)


@app.command()
def backfill(
    file: Annotated[Path, typer.Argument(help="One transcript a line, with its true dates.")],
    wait: Annotated[bool, typer.Option(help="Wait until all are distilled.")] = True,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Push many old transcripts; what was pushed before changes nothing."""
    if not file.is_file():
        raise ConfigurationError(f"{file} is no file: name a file with one transcript a line")
    with connect(api, data, tenant) as client:
        result = backfills.run(client, file, err, wait=wait)
    out.print(terminal.backfill_summary(result))
    raise typer.Exit(1 if result.refused or result.states.get("dead") else 0)


@app.command()
def status(
    receipt: Annotated[str, typer.Argument(help="What enqueue printed.")],
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Show where a transcript stands and what became of each fact."""
    with connect(api, data, tenant) as client:
        found = client.status(receipt)
    if as_json:
        print_json(found)
    else:
        out.print(terminal.status_view(found))


@app.command()
def recall(
    query: Annotated[str, typer.Argument(help="What the next session is about.")],
    user: UserId,
    session: Annotated[str | None, typer.Option(help="Also what only this session knows.")] = None,
    max_memories: Annotated[int | None, typer.Option(help="At most so many.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Budget of the block.")] = None,
    as_of: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="What held then; a day ends at midnight in UTC."),
    ] = None,
    tier: Annotated[
        list[Tier] | None, typer.Option(help="Only this one; may be given several times.")
    ] = None,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Print the block that the next session would start with."""
    with connect(api, data, tenant) as client:
        found = client.recall(
            query,
            user,
            session,
            max_memories=max_memories,
            max_tokens=max_tokens,
            as_of=as_of,
            tiers=tier or None,
        )
    if as_json:
        print_json(found)
    elif found.block:
        typer.echo(found.block)
    else:
        err.print(f"nothing is known of {user} that fits", markup=False)


@app.command()
def export(
    user: Annotated[str | None, typer.Option("--user", help="Only this user's.")] = None,
    output: Annotated[Path | None, typer.Option(help="A file instead of the screen.")] = None,
    export_format: Annotated[
        exports.Format,
        typer.Option(
            "--format",
            help="jsonl: one memory a line; json, yaml: all of it, to be imported; md: to be read "
            "and edited, with --output a folder with daily logs, too.",
        ),
    ] = exports.Format.JSONL,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Write memories with their evidence and validity, superseded ones included."""
    with connect(api, data, tenant) as client:
        count = exports.run(client, user, export_format, output)
    name = tenant or "default"
    # With a key there is no other tenant to name.
    is_told = count or os.environ.get("MEMSTILL_API_KEY")
    hint = "" if is_told else f"; tenant {name!r} has none: name another with --tenant"
    left_out = exports.LEFT_OUT[export_format]
    err.print(f"{count} memories exported{hint}; {left_out}", markup=False)


@app.command()
def cost(
    user: Annotated[str | None, typer.Option("--user", help="Only this user's.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="A day in UTC; the last seven if not given."),
    ] = None,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Show what model calls have cost, and how the budgets stand today."""
    with connect(api, data, tenant) as client:
        found = client.cost(user, None if since is None else since.date())
    if as_json:
        print_json(found)
    else:
        out.print(cost_sheet(found))


@app.command("eval")
def evaluate(
    dataset: Annotated[Path, typer.Argument(help="Folder with transcripts and questions.")],
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder of the results; ./eval-NAME if not given.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many sessions, and what they answer.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Questions asked at once.")] = 1,
    as_json: AsJson = False,
    # Not from the environment: a data set shall not end among somebody's memories by accident.
    data: Annotated[
        Path | None, typer.Option(help="Use the stack that runs on this directory.")
    ] = None,
    api: Annotated[str | None, typer.Option(help="Use the API at this address.")] = None,
    tenant: Tenant = None,
) -> None:
    """Push a data set, ask its questions, and measure how much of the evidence recall brings up.

    It runs on a stack of its own, in a temporary directory, with the settings of the environment.
    """
    from workers.evaluation import evaluate as evaluation
    from workers.evaluation.summary import summary_sheet

    target = out_dir or Path(f"eval-{dataset.resolve().name}")
    url = read_endpoints(data).api_url if data else api
    plan = evaluation.Plan(dataset, target, tenant, limit, workers, url)
    summary = evaluation.evaluate(plan, err)
    if as_json:
        typer.echo((target / evaluation.SUMMARY).read_text(encoding="utf-8"), nl=False)
    else:
        out.print(summary_sheet(summary))
        err.print(f"written to {target}", markup=False)
    raise typer.Exit(0 if summary.is_complete else 1)


@app.command()
def migrate(
    contract: Annotated[
        bool,
        typer.Option(
            "--contract", help="Also take away what older releases used: none runs any more."
        ),
    ] = False,
) -> None:
    """Bring the database of MEMSTILL_DATABASE_URL to this release's schema, beside any workers."""
    from config.settings import Settings
    from pipelines.adapters.postgres.migrate import migrate as run_migrations

    url = Settings().database_url.get_secret_value()
    done = run_migrations(url, contracts=contract, note=partial(err.print, markup=False))
    err.print("the database is at the newest schema")
    if done.waiting:
        err.print(
            f"{', '.join(done.waiting)} take away what older releases use: once no older worker "
            "runs, run `memstill migrate --contract`"
        )


@app.command()
def api() -> None:
    """Serve the HTTP API as a process of its own, on MEMSTILL_API_HOST and _PORT."""
    from workers.serve import serve_api

    serve_api()


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error


if __name__ == "__main__":
    main()
