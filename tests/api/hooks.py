"""What schemathesis cannot know of the API."""

import os

import schemathesis

CONTAINER = os.environ.get("REMORA_CONTAINER")
NAMES = {"tables": "flows", "tracers": "exec"}


@schemathesis.hook
def before_call(context, case, kwargs):
    # A stream that is followed has no end.
    if case.operation.path == "/v1/events" and str(case.query.get("follow", "true")).lower() == "true":
        case.query["follow"] = "false"
    if case.operation.path == "/v1/alerts" and str(case.query.get("follow", "false")).lower() == "true":
        case.query["follow"] = "false"
    # A language of its own: what is no expression is refused. One that is too long still is too long.
    if 0 < len(str(case.query.get("where") or "")) <= 1024:
        case.query["where"] = "event.cursor > 0"
    if case.operation.path == "/v1/events":
        begin_once(case.query)
    if CONTAINER:
        name_what_is_there(case)


def begin_once(query):
    """since begins elsewhere than after and replay do, and until needs it. What is empty is no time."""
    if query.get("until") and (not query.get("since") or "after" in query or "replay" in query):
        del query["until"]
    if query.get("since") and ("after" in query or "replay" in query):
        del query["since"]
    for name in ("since", "until"):
        if query.get(name):
            query[name] = "1h"


def name_what_is_there(case):
    parameters = case.path_parameters
    if "id" in parameters:
        parameters["id"] = CONTAINER
    if "table" in parameters:
        parameters["table"] = "profile_stacks"
    kinds = [kind for kind in NAMES if f"/{kind}/{{name}}" in case.operation.path]
    if kinds:
        parameters["name"] = NAMES[kinds[0]]
