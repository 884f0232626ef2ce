#!/usr/bin/env python3
"""Drives connectors of several types, and a workflow with its job, through their lives with the official Python client.

    pip install unstructured-client
    python3 python_client.py --url http://127.0.0.1:8000 --api-key demo-key

`--url` is the server's root; with `/api/v1` at its end it is taken too. It exits with 0 when every answer was
right, and says which one was not otherwise. It needs an empty workspace.
"""

import argparse

from unstructured_client import UnstructuredClient
from unstructured_client.models import errors, operations, shared

MASK = "**********"

# Type, what the server cannot show, the rest, what the server adds of its own, and the member that an update changes.
SOURCES = [
    (
        "dropbox",
        {"refresh_token": "refresh-1", "app_key": "key-1", "app_secret": "secret-1"},
        {"remote_url": "dropbox://data", "recursive": False},
        {},
        {"remote_url": "dropbox://data2"},
    ),
]
DESTINATIONS = [
    (
        "pinecone",
        {"api_key": "secret-1"},
        {"index_name": "contracts", "namespace": "default"},
        {"batch_size": 50},
        {"batch_size": 100},
    ),
    (
        "s3",
        {"key": "id-1", "secret": "secret-1"},
        {"remote_url": "s3://bucket/out"},
        {"anonymous": False, "ambient_credentials": False},
        {"remote_url": "s3://bucket/other"},
    ),
    (
        "postgres",
        {"password": "secret-1"},
        {
            "host": "db.example.com",
            "database": "documents",
            "port": 5432,
            "username": "writer",
            "table_name": "elements",
            "batch_size": 100,
        },
        {},
        {"table_name": "chunks"},
    ),
    (
        "weaviate-cloud",
        {"api_key": "secret-1"},
        {"cluster_url": "https://cluster.example.com", "collection": "Contracts"},
        {},
        {"collection": "Invoices"},
    ),
    (
        "elasticsearch",
        {"es_api_key": "secret-1"},
        {"hosts": ["https://one.example.com", "https://two.example.com"], "index_name": "contracts"},
        {},
        {"hosts": ["https://one.example.com"]},
    ),
    (
        "mongodb",
        {"uri": "mongodb+srv://user:secret-1@cluster.example.com"},
        {"database": "documents", "collection": "elements"},
        {},
        {"collection": "chunks"},
    ),
]


def expect(what, actual, expected):
    if actual != expected:
        raise SystemExit(f"{what}: expected {expected!r}, got {actual!r}")
    print(f"ok  {what}")


class Family:
    """The client's methods and models for sources or for destinations: they differ in their names only."""

    def __init__(self, client, singular):
        self.client = getattr(client, f"{singular}s")
        self.singular = singular
        self.id = f"{singular}_id"

    def call(self, method, model, **members):
        request = getattr(operations, model + "Request")(**members)
        return getattr(self.client, method)(request=request)

    def connector(self, verb, **members):
        """Creates or updates one."""
        wrapped = getattr(shared, f"{verb.title()}{self.singular.title()}Connector")(**members)
        return {f"{verb}_{self.singular}_connector": wrapped}

    def information(self, answer):
        return getattr(answer, f"{self.singular}_connector_information")

    def listed(self, kind):
        kind = getattr(shared, f"{self.singular.title()}ConnectorType")(kind)
        method = f"list_{self.singular}s"
        answer = self.call(method, f"List{self.singular.title()}s", **{f"{self.singular}_type": kind})
        return [connector.name for connector in getattr(answer, f"response_{method}")]


def life(family, kind, secrets, plain, added, change):
    """One connector from its creation to its end."""
    singular, title = family.singular, family.singular.title()

    def say(what, actual, expected):
        expect(f"{kind} {singular}: {what}", actual, expected)

    say("an empty workspace lists nothing", family.listed(kind), [])
    body = family.connector("create", name="python-client", type=kind, config={**plain, **secrets})
    created = family.call(f"create_{singular}", f"Create{title}", **body)
    say("create answers 200", created.status_code, 200)
    connector = family.information(created)
    masked = {**plain, **added, **dict.fromkeys(secrets, MASK)}
    say("create masks the secrets and fills the defaults", dict(connector.config), masked)
    say("create keeps the type", connector.type, kind)
    say("list shows it", family.listed(kind), ["python-client"])

    by_id = {family.id: connector.id}
    got = family.information(family.call(f"get_{singular}", f"Get{title}", **by_id))
    say("get shows the same", got, connector)

    body = family.connector("update", config={**plain, **change, **secrets})
    answer = family.call(f"update_{singular}", f"Update{title}", **by_id, **body)
    updated = family.information(answer)
    say("update keeps the id", updated.id, connector.id)
    say("update changes what it says", dict(updated.config), {**masked, **change})
    say("update moves updated_at", updated.updated_at > connector.updated_at, True)

    verb, model = f"connection_check_{singular}s", f"ConnectionCheck{title}s"
    started = family.call(f"create_{verb}", f"Create{model}", **by_id)
    say("a check answers 202", started.status_code, 202)
    check = started.dag_node_connection_check
    say("a check is scheduled", check.status.value, "SCHEDULED")
    statuses = []
    while not statuses or (statuses[-1] == "SCHEDULED" and len(statuses) < 100):
        answer = family.call(f"get_{verb}", f"Get{model}", **by_id)
        polled = answer.dag_node_connection_check
        say("the latest check is the one started", polled.id, check.id)
        statuses.append(polled.status.value)
    say("the check succeeds", statuses[-1], "SUCCESS")

    deleted = family.call(f"delete_{singular}", f"Delete{title}", **by_id)
    say("delete answers 200", deleted.status_code, 200)
    say("list shows nothing again", family.listed(kind), [])
    try:
        family.call(f"get_{singular}", f"Get{title}", **by_id)
        raise SystemExit(f"a deleted {singular} can still be got")
    except errors.SDKError as error:
        say("what was deleted is gone", error.status_code, 404)


def workflow_life(client):
    """One workflow between two connectors, and its job, from the creation to the end."""

    def say(what, actual, expected):
        expect(f"workflow: {what}", actual, expected)

    ends = {}
    for singular, (kind, secrets, plain, *_) in [("source", SOURCES[0]), ("destination", DESTINATIONS[0])]:
        family = Family(client, singular)
        body = family.connector("create", name="python-client", type=kind, config={**plain, **secrets})
        answer = family.call(f"create_{singular}", f"Create{singular.title()}", **body)
        ends[f"{singular}_id"] = family.information(answer).id

    def call(method, **members):
        model = "".join(word.title() for word in method.split("_")) + "Request"
        api = client.jobs if "job" in method else client.workflows
        return getattr(api, method)(request=getattr(operations, model)(**members))

    def ids():
        return [workflow.id for workflow in call("list_workflows").response_list_workflows]

    kinds = [("partition", "vlm"), ("chunk", "chunk_by_title"), ("embed", "azure_openai")]
    nodes = [shared.WorkflowNode(name=kind, type=kind, subtype=subtype, settings={}) for kind, subtype in kinds]
    body = {"workflow_type": shared.WorkflowType.CUSTOM, "workflow_nodes": nodes, "reprocess_all": False, **ends}

    say("an empty workspace lists nothing", ids(), [])
    daily = shared.CreateWorkflow(name="python-client", schedule=shared.Schedule.DAILY, **body)
    created = call("create_workflow", create_workflow=daily)
    say("create answers 200", created.status_code, 200)
    workflow = created.workflow_information
    say("create keeps the ends", [workflow.sources, workflow.destinations], [[end] for end in ends.values()])
    crons = [entry.cron_expression for entry in workflow.schedule.crontab_entries]
    say("the schedule is a cron expression", crons, ["0 0 * * *"])
    types = sorted(node.type for node in workflow.workflow_nodes)
    say("create keeps the nodes", types, ["chunk", "embed", "partition"])
    say("list shows it", ids(), [workflow.id])
    by_id = {"workflow_id": workflow.id}
    say("get shows the same", call("get_workflow", **by_id).workflow_information, workflow)

    manual = shared.UpdateWorkflow(name="renamed", schedule=None, **body)
    updated = call("update_workflow", **by_id, update_workflow=manual).workflow_information
    say("update renames", updated.name, "renamed")
    say("update clears the schedule", updated.schedule.crontab_entries, [])

    run = call("run_workflow", **by_id)
    say("run answers 202", run.status_code, 202)
    job = {"job_id": run.job_information.id}
    say("list shows the job", [one.id for one in call("list_jobs", **by_id).response_list_jobs], [job["job_id"]])
    statuses = []
    while not statuses or (statuses[-1] in ("SCHEDULED", "IN_PROGRESS") and len(statuses) < 100):
        statuses.append(call("get_job", **job).job_information.status.value)
    say("the job completes", statuses[-1], "COMPLETED")
    details = call("get_job_details", **job).job_details
    say("its details say so", details.processing_status.value, "SUCCESS")
    say("its details have every node", len(details.node_stats), len(nodes))
    say("no file failed", call("get_job_failed_files", **job).job_failed_files.failed_files, [])
    say("cancel answers 200", call("cancel_job", **job).status_code, 200)

    say("delete answers 200", call("delete_workflow", **by_id).status_code, 200)
    say("list shows nothing again", ids(), [])
    for singular in ["source", "destination"]:
        end = {f"{singular}_id": ends[f"{singular}_id"]}
        Family(client, singular).call(f"delete_{singular}", f"Delete{singular.title()}", **end)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--api-key", default="demo-key")
    options = parser.parse_args()
    root = options.url.rstrip("/").removesuffix("/api/v1")
    client = UnstructuredClient(
        api_key_auth=options.api_key,
        server_url=root,
        # Left out, it would repeat requests for up to half an hour.
        retry_config=None,
        timeout_ms=10_000,
    )
    for singular, lives in [("source", SOURCES), ("destination", DESTINATIONS)]:
        for one in lives:
            life(Family(client, singular), *one)
    workflow_life(client)


if __name__ == "__main__":
    main()
