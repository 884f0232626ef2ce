#!/usr/bin/env python3
"""Drives a Dropbox source and destinations of several types through their lives with the official Python client.

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


if __name__ == "__main__":
    main()
