"""Message by message, what may be in it, by what `closed_list` says of each method."""

import re

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord

from tests.flower.closed_list import DECLARED, GROUPS, PACKED

PHASES = {
    "fedvtc": {"classify", "describe", "decode", "tune"},
    "fedvtc-own-decoders": {"classify", "describe", "decode", "tune"},
    "gefl": {"generate", "classify"},
    "gefl-dcgan": {"generate", "classify"},
}
"""What clients do in a round, where they do more than train: under these names their memory is told."""


CLIENT = r"\d+"


KEPT = {rf"kept/{CLIENT}": (ConfigRecord, {"round", "sha256"})}


def envelope(method):
    """Records of each message type, down and up: a type, and the keys that it may have."""
    listed = DECLARED[method]
    down = {
        "query.join": {"invitation": (ConfigRecord, {"protocol", "address", "token"})},
        "query.describe": {"request": (ConfigRecord, {"clients"})},
        "train": {
            "round": (ConfigRecord, {"round", "attempt", "steps", "training", "neighbours"}),
            rf"order/{CLIENT}": (ConfigRecord, listed["order"]),
            **tensors(rf"tensors/{CLIENT}", listed["order kinds"]),
            **KEPT,
        },
        "evaluate": {
            "evaluation": (ConfigRecord, {"round", "training", "thoroughly", "neighbours", "judge"}),
            rf"order/{CLIENT}": (ConfigRecord, set()),
            **tensors("product", listed["product"]),
            **KEPT,
        },
    }
    if method in GROUPS:
        down["train"] |= {
            rf"groups/{CLIENT}": (ConfigRecord, {"names"}),
            "empty-groups": (ConfigRecord, {"names"}),
            **tensors(f"group/{GROUPS[method]}", listed["order kinds"]),
        }
    if listed["evaluation kinds"]:
        down["evaluate"] |= {
            rf"groups/{CLIENT}": (ConfigRecord, {"names"}),
            **tensors(f"group/{GROUPS[method]}", listed["evaluation kinds"]),
        }
    if listed["exchanges"]:
        down["train"]["stream"] = (ConfigRecord, {"address", "token", "answer_seconds", "preset"})
    up = {
        "query.join": {"arrival": (ConfigRecord, {"admitted", "client"})},
        "query.describe": {rf"description/{CLIENT}": (ConfigRecord, listed["description"])},
        "train": {
            "round": (ConfigRecord, {"round", "attempt"}),
            rf"upload/{CLIENT}": (ConfigRecord, listed["upload"]),
            **tensors(rf"tensors/{CLIENT}", listed["upload kinds"]),
            rf"losses/{CLIENT}": (MetricRecord, listed["losses"]),
            rf"seconds/{CLIENT}": (MetricRecord, {"compute", "exchange"}),
            rf"memory/{CLIENT}": (MetricRecord, listed_phases(method)),
            rf"drop-out/{CLIENT}": (ConfigRecord, {"reason"}),
            **KEPT,
        },
        "evaluate": {
            rf"scores/(test|held_out|generated)/{CLIENT}": (MetricRecord, listed["scores"]),
            rf"drop-out/{CLIENT}": (ConfigRecord, {"reason"}),
        },
    }
    if listed["product"]:
        up["evaluate"] |= {
            rf"samples/product/{CLIENT}": (ConfigRecord, {"samples"}),
            rf"scores/product/{CLIENT}": (MetricRecord, listed["scores"]),
        }
    return {"down": down, "up": up}


def listed_phases(method):
    return set() if DECLARED[method]["exchanges"] else PHASES.get(method, {"train"})


def tensors(scope, kinds):
    return {f"{scope}/{kind}": (ArrayRecord, names) for kind, names in kinds.items()}


def unlisted(records, message_type, direction, method, *, packed=False):
    """Names of records and keys, or values, of a message that the list does not have.

    With uploads ``packed``, tensors of the kinds in ``PACKED`` may be bytes in a row.
    """
    listed = envelope(method)[direction][message_type]
    found = []
    for name, record in records.items():
        rules = [rule for pattern, rule in listed.items() if re.fullmatch(pattern, name)]
        if not rules or not isinstance(record, rules[0][0]):
            found.append(name)
            continue
        keys = rules[0][1]
        is_upload = (message_type, direction) == ("train", "up")
        may_be_bytes = packed and is_upload and name.rpartition("/")[2] in PACKED.get(method, ())
        for key, value in record.items():
            if not (re.fullmatch(keys, key) if isinstance(keys, str) else key in keys):
                found.append(f"{name}/{key}")
            is_bytes = may_be_bytes and value.dtype == "uint8" and len(value.shape) == 1
            numbers = is_bytes or not isinstance(record, ArrayRecord)
            if not numbers and not re.fullmatch("float32|float64|int64", value.dtype):
                found.append(f"{name}/{key}: {value.dtype}")
    return found
