#!/usr/bin/env python3
"""Drives a Dropbox source through its whole life with the official Python client.

    pip install unstructured-client
    python3 python_client.py --url http://127.0.0.1:8000 --api-key demo-key

`--url` is the server's root; with `/api/v1` at its end it is taken too. It exits with 0 when every answer was
right, and says which one was not otherwise. It needs an empty workspace.
"""

import argparse

from unstructured_client import UnstructuredClient
from unstructured_client.models import errors, operations, shared

MASK = "**********"
SECRETS = {"refresh_token": "refresh-1", "app_key": "key-1", "app_secret": "secret-1"}


def config(folder, **changes):
    return {"remote_url": f"dropbox://{folder}", "recursive": False, **SECRETS, **changes}


def expect(what, actual, expected):
    if actual != expected:
        raise SystemExit(f"{what}: expected {expected!r}, got {actual!r}")
    print(f"ok  {what}")


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
    sources = client.sources

    def listed():
        request = operations.ListSourcesRequest(
            source_type=shared.SourceConnectorType.DROPBOX
        )
        answer = sources.list_sources(request=request)
        return [source.name for source in answer.response_list_sources]

    expect("an empty workspace lists nothing", listed(), [])

    created = sources.create_source(
        request=operations.CreateSourceRequest(
            create_source_connector=shared.CreateSourceConnector(
                name="python-client",
                type=shared.SourceConnectorType.DROPBOX,
                config=config("data"),
            )
        )
    )
    expect("create answers 200", created.status_code, 200)
    source = created.source_connector_information
    masked = config("data", **dict.fromkeys(SECRETS, MASK))
    expect("create masks the secrets", dict(source.config), masked)
    expect("list shows it", listed(), ["python-client"])

    by_id = operations.GetSourceRequest(source_id=source.id)
    got = sources.get_source(request=by_id).source_connector_information
    expect("get shows the same", got, source)

    updated = sources.update_source(
        request=operations.UpdateSourceRequest(
            source_id=source.id,
            update_source_connector=shared.UpdateSourceConnector(config=config("data2")),
        )
    ).source_connector_information
    expect("update keeps the id", updated.id, source.id)
    expect("update changes the folder", updated.config["remote_url"], "dropbox://data2")
    expect("update moves updated_at", updated.updated_at > source.updated_at, True)

    started = sources.create_connection_check_sources(
        request=operations.CreateConnectionCheckSourcesRequest(source_id=source.id)
    )
    expect("a check answers 202", started.status_code, 202)
    check = started.dag_node_connection_check
    expect("a check is scheduled", check.status.value, "SCHEDULED")
    latest = operations.GetConnectionCheckSourcesRequest(source_id=source.id)
    statuses = []
    while not statuses or (statuses[-1] == "SCHEDULED" and len(statuses) < 100):
        answer = sources.get_connection_check_sources(request=latest)
        polled = answer.dag_node_connection_check
        expect("the latest check is the one started", polled.id, check.id)
        statuses.append(polled.status.value)
    expect("the check succeeds", statuses[-1], "SUCCESS")

    deleted = sources.delete_source(
        request=operations.DeleteSourceRequest(source_id=source.id)
    )
    expect("delete answers 200", deleted.status_code, 200)
    expect("list shows nothing again", listed(), [])
    try:
        sources.get_source(request=by_id)
        raise SystemExit("a deleted source can still be got")
    except errors.SDKError as error:
        expect("a deleted source is gone", error.status_code, 404)


if __name__ == "__main__":
    main()
