"""All that may be in a Flower message of ours: by message type, record and key."""

import re

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord

CLIENT = r"client-\d+"
CLUSTER = r"cluster-\d+"
ENTRY = "(weight|bias|running_mean|running_var|num_batches_tracked)"
BLOCK = rf"(generator|discriminator)\.\d+\.(embedding|main|norm)\.{ENTRY}"
MOMENT = rf"{BLOCK}\.(step|exp_avg|exp_avg_sq)"
GENERATOR = BLOCK.replace("|discriminator", "")

DEVICE = {
    "name",
    "gflops",
    "mbit_per_s",
    "download_mbit_per_s",
    "memory_mib",
    "joule_per_gflop",
    "joule_per_megabyte",
    "energy_joule_per_step",
    "minimum_discriminator_head",
}

KEPT = (ConfigRecord, {"round", "sha256"})

SESSION = {"round", "attempt"}

DOWN = {
    "query.rendezvous": {"invitation": (ConfigRecord, {"address", "token"})},
    "query.describe": {"clients": (ConfigRecord, {"ids"})},
    "train": {
        "session": (
            ConfigRecord,
            SESSION | {"steps", "answer-seconds", "address", "token", "neighbours", "training"},
        ),
        r"kept-\d+": KEPT,
        CLIENT: (ConfigRecord, {"cut", "cluster"}),
        CLUSTER: (ArrayRecord, BLOCK),
        r"taken-\d+": (ArrayRecord, BLOCK),
        r"moments-\d+": (ArrayRecord, MOMENT),
    },
    "evaluate": {
        "request": (ConfigRecord, {"client-id"}),
        "generator": (ArrayRecord, GENERATOR),
    },
}
UP = {
    "query.rendezvous": {"arrival": (ConfigRecord, {"admitted", "client-id"})},
    "query.describe": {CLIENT: (ConfigRecord, {"samples"} | DEVICE)},
    "train": {
        "session": (ConfigRecord, SESSION),
        CLIENT: (ArrayRecord, BLOCK),
        r"kept-\d+": KEPT,
        r"losses-\d+": (MetricRecord, {"discriminator", "generator"}),
        r"seconds-\d+": (MetricRecord, {"compute", "exchange"}),
    },
    "evaluate": {"scores": (MetricRecord, {"client-id", "test-samples", "tstr_accuracy", "tstr_f1"})},
}


def unlisted(records, message_type, direction):
    """Names of records and keys, or values, of a message that the list does not have."""
    listed = (UP if direction == "up" else DOWN)[message_type]
    found = []
    for name, record in records.items():
        rules = [rule for pattern, rule in listed.items() if re.fullmatch(pattern, name)]
        if not rules or not isinstance(record, rules[0][0]):
            found.append(name)
            continue
        keys = rules[0][1]
        for key, value in record.items():
            if not (re.fullmatch(keys, key) if isinstance(keys, str) else key in keys):
                found.append(f"{name}/{key}")
            if isinstance(record, ArrayRecord) and not re.fullmatch("float32|float64|int64", value.dtype):
                found.append(f"{name}/{key}: {value.dtype}")
    return found
