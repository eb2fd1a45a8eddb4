"""All that may cross, written out by hand: what each method declares. See `listed_messages` too.

A method that declares more, or less, than is written here does not pass; nor does a message that holds more.
"""

ENTRY = "(weight|bias|running_mean|running_var|num_batches_tracked)"
BLOCK = rf"(generator|discriminator)\.\d+\.(embedding|main|norm)\.{ENTRY}"
MOMENT = rf"{BLOCK}\.(step|exp_avg|exp_avg_sq)"
CLASSIFIER = r"(extractor\.\d+|head)\.(weight|bias)"
GENERATOR = BLOCK.replace("|discriminator", "")
DISCRIMINATOR = BLOCK.replace("generator|", "")
DECODER = r"layers\.\d+\.(weight|bias)"

FEDVTC_LOSSES = {
    *("classifier", "alignment", "reconstruction", "divergence", "matching", "adversarial", "critic"),
    "tuning",
}
DESCRIPTION = {
    "samples",
    "device.name",
    "device.gflops",
    "device.mbit_per_s",
    "device.download_mbit_per_s",
    "device.delay_ms",
    "device.packing_ns",
    "device.memory_mib",
    "device.joule_per_gflop",
    "device.joule_per_megabyte",
    "device.energy_joule_per_step",
    "device.least_discriminator_head",
}

DECLARED = {
    "huscf": {
        "description": DESCRIPTION,
        "order": {"cut"},
        "order kinds": {
            "segments": BLOCK,
            "blocks that change sides": BLOCK,
            "moments that change sides": MOMENT,
        },
        "exchanges": [
            ("GENERATE", ["generator head output"], ["generator tail input"]),
            (
                "DISCRIMINATE",
                ["fake head output", "real head output"],
                ["fake tail input", "real tail input"],
            ),
            (
                "DISCRIMINATOR_BACKWARD",
                ["gradient of fake tail input", "gradient of real tail input"],
                ["gradient of fake head output", "gradient of real head output"],
            ),
            ("CRITICISE", ["fake head output"], ["fake tail input"]),
            ("CRITICISM_BACKWARD", ["gradient of fake tail input"], ["gradient of fake head output"]),
            (
                "GENERATOR_BACKWARD",
                ["gradient of generator tail input"],
                ["gradient of generator head output"],
            ),
        ],
        "upload": set(),
        "upload kinds": {"segments": BLOCK},
        "losses": {"discriminator", "generator"},
        "product": {"generator": GENERATOR},
        "evaluation kinds": {},
        "scores": {"tstr_accuracy", "tstr_f1"},
    },
    "fedgan": {
        "description": DESCRIPTION,
        "order": set(),
        "order kinds": {"networks": BLOCK},
        "exchanges": [],
        "upload": set(),
        "upload kinds": {"networks": BLOCK},
        "losses": {"discriminator", "generator"},
        "product": {"generator": GENERATOR},
        "evaluation kinds": {},
        "scores": {"tstr_accuracy", "tstr_f1"},
    },
    "pflgan": {
        "description": DESCRIPTION,
        "order": {"local"},
        "order kinds": {"networks": BLOCK},
        "exchanges": [],
        "upload": set(),
        "upload kinds": {"networks": BLOCK},
        "losses": {"discriminator", "generator"},
        "product": {"generator": GENERATOR},
        "evaluation kinds": {},
        "scores": {"tstr_accuracy", "tstr_f1"},
    },
    "hflgan": {
        "description": DESCRIPTION,
        "order": set(),
        "order kinds": {"networks": BLOCK, "global_generator": GENERATOR},
        "exchanges": [],
        "upload": set(),
        "upload kinds": {"networks": BLOCK, "global_generator": GENERATOR},
        "losses": {"discriminator", "generator", "global_generator"},
        "product": {"generator": GENERATOR},
        "evaluation kinds": {},
        "scores": {"tstr_accuracy", "tstr_f1"},
    },
    "fedproto": {
        "description": DESCRIPTION | {"classes", "counts"},
        "order": set(),
        "order kinds": {"global_means": "classes|means"},
        "exchanges": [],
        "upload": set(),
        "upload kinds": {"class_means": "means"},
        "losses": {"classifier", "prototype"},
        "product": {},
        "evaluation kinds": {"global_means": "classes|means"},
        "scores": {"accuracy", "f1", "loss", "prototype_accuracy", "prototype_f1"},
    },
    "fedvtc": {
        "description": DESCRIPTION | {"classes", "counts"},
        "order": set(),
        "order kinds": {"statistics": "classes|means|deviations", "decoder": DECODER},
        "exchanges": [],
        "upload": set(),
        "upload kinds": {"class_means": "means", "spread": "deviations", "decoder": DECODER},
        "losses": FEDVTC_LOSSES,
        "product": {"generator": rf"statistics\.(classes|means|deviations)|decoder\.{DECODER}"},
        "evaluation kinds": {},
        "scores": {"accuracy", "f1", "loss", "untuned_accuracy", "untuned_f1", "tstr_accuracy", "tstr_f1"},
    },
    "fedvtc-own-decoders": {
        "description": DESCRIPTION | {"classes", "counts"},
        "order": set(),
        "order kinds": {"statistics": "classes|means|deviations"},
        "exchanges": [],
        "upload": set(),
        "upload kinds": {"class_means": "means", "spread": "deviations"},
        "losses": FEDVTC_LOSSES,
        "product": {},
        "evaluation kinds": {},
        "scores": {
            "accuracy",
            "f1",
            "loss",
            "untuned_accuracy",
            "untuned_f1",
            "label_fidelity",
            "generation_score",
            "fid",
            "judge_accuracy",
            "tstr_accuracy",
            "tstr_f1",
        },
    },
    "fedtgp": {
        "description": DESCRIPTION | {"classes"},
        "order": set(),
        "order kinds": {"global_prototypes": "classes|prototypes"},
        "exchanges": [],
        "upload": set(),
        "upload kinds": {"class_means": "means"},
        "losses": {"classifier", "prototype"},
        "product": {},
        "evaluation kinds": {"global_prototypes": "classes|prototypes"},
        "scores": {"accuracy", "f1", "loss", "prototype_accuracy", "prototype_f1"},
    },
    "fedgen": {
        "description": DESCRIPTION | {"counts"},
        "order": set(),
        "order kinds": {"generator": rf"classes|(hidden|norm|out)\.{ENTRY}", "head": "weight|bias"},
        "exchanges": [],
        "upload": set(),
        "upload kinds": {"head": "weight|bias"},
        "losses": {"classifier", "generated"},
        "product": {},
        "evaluation kinds": {},
        "scores": {"accuracy", "f1", "loss"},
    },
    "gefl": {
        "description": DESCRIPTION | {"classes"},
        "order": {"classifies", "classes"},
        "order kinds": {"networks": BLOCK, "generator": GENERATOR},
        "exchanges": [],
        "upload": set(),
        "upload kinds": {"networks": BLOCK},
        "losses": {"reconstruction", "divergence", "classifier"},
        "product": {},
        "evaluation kinds": {},
        "scores": {"accuracy", "f1", "loss"},
    },
    "gefl-dcgan": {
        "description": DESCRIPTION | {"classes"},
        "order": {"classifies", "classes"},
        "order kinds": {"networks": BLOCK, "generator": GENERATOR},
        "exchanges": [],
        "upload": set(),
        "upload kinds": {"networks": BLOCK},
        "losses": {"discriminator", "generator", "classifier"},
        "product": {},
        "evaluation kinds": {},
        "scores": {"accuracy", "f1", "loss"},
    },
    "ccvr": {
        "description": DESCRIPTION | {"counts"},
        "order": {"trains", "measures"},
        "order kinds": {"head": "weight|bias"},
        "exchanges": [],
        "upload": set(),
        "upload kinds": {"head": "weight|bias", "class_statistics": "means|covariances"},
        "losses": {"classifier"},
        "product": {},
        "evaluation kinds": {"calibrated_head": "weight|bias"},
        "scores": {
            *("accuracy", "f1", "loss"),
            *("uncalibrated_accuracy", "uncalibrated_f1", "uncalibrated_loss"),
        },
    },
    "fedtype": {
        "description": DESCRIPTION,
        "order": set(),
        "order kinds": {"proxy": CLASSIFIER},
        "exchanges": [],
        "upload": set(),
        "upload kinds": {"proxy": CLASSIFIER},
        "losses": {"classifier", "ranking", "proxy", "distillation"},
        "product": {},
        "evaluation kinds": {"proxy": CLASSIFIER},
        "scores": {"accuracy", "f1", "loss", "proxy_accuracy", "proxy_f1", "proxy_loss"},
    },
    "local": {
        "description": DESCRIPTION,
        "order": set(),
        "order kinds": {},
        "exchanges": [],
        "upload": set(),
        "upload kinds": {},
        "losses": {"discriminator", "generator"},
        "product": {},
        "evaluation kinds": {},
        "scores": {
            *("label_fidelity", "generation_score", "fid", "judge_accuracy", "inception_fid"),
            *("tstr_accuracy", "tstr_f1"),
        },
    },
    "local-classifier": {
        "description": DESCRIPTION,
        "order": set(),
        "order kinds": {},
        "exchanges": [],
        "upload": set(),
        "upload kinds": {},
        "losses": {"classifier"},
        "product": {},
        "evaluation kinds": {},
        "scores": {"accuracy", "f1", "loss"},
    },
    "central": {
        "description": DESCRIPTION | {"largest"},
        "order": {"steps"},
        "order kinds": {"networks": BLOCK},
        "exchanges": [],
        "upload": set(),
        "upload kinds": {"networks": BLOCK},
        "losses": {"discriminator", "generator"},
        "product": {},
        "evaluation kinds": {},
        "scores": set(),
    },
    "mdgan": {
        "description": DESCRIPTION,
        "order": {"swap"},
        "order kinds": {"discriminator": DISCRIMINATOR},
        "exchanges": [
            ("GENERATE", [], ["fakes", "labels of fakes", "judged fakes", "labels of judged fakes"]),
            ("CRITICISE", ["gradient at fakes"], []),
        ],
        "upload": set(),
        "upload kinds": {"discriminator": DISCRIMINATOR},
        "losses": {"discriminator", "generator"},
        "product": {"generator": GENERATOR},
        "evaluation kinds": {},
        "scores": {"tstr_accuracy", "tstr_f1"},
    },
    "uagan": {
        "description": DESCRIPTION | {"counts"},
        "order": set(),
        "order kinds": {},
        "exchanges": [
            ("GENERATE", [], ["fakes", "labels of fakes"]),
            ("JUDGE", ["logits of fakes"], ["gradient at logits of fakes"]),
            ("CRITICISE", ["gradient at fakes"], []),
        ],
        "upload": set(),
        "upload kinds": {},
        "losses": {"discriminator"},
        "product": {"generator": GENERATOR},
        "evaluation kinds": {},
        "scores": {"tstr_accuracy", "tstr_f1"},
    },
    "fsgan": {
        "description": DESCRIPTION,
        "order": set(),
        "order kinds": {"discriminator": DISCRIMINATOR},
        "exchanges": [
            ("GENERATE", [], ["fakes", "labels of fakes"]),
            ("CRITICISE", ["gradient at fakes"], []),
        ],
        "upload": set(),
        "upload kinds": {"discriminator": DISCRIMINATOR},
        "losses": {"discriminator", "generator"},
        "product": {"generator": GENERATOR},
        "evaluation kinds": {},
        "scores": {"tstr_accuracy", "tstr_f1"},
    },
}

DECLARED["huscf-from-labels"] = {**DECLARED["huscf"], "description": DESCRIPTION | {"counts"}}
DECLARED["huscf-local-discriminator"] = {
    **DECLARED["huscf"],
    "order": {"cut", "observed"},
    "exchanges": [
        ("GENERATE", ["generator head output"], ["generator tail input"]),
        (
            "GENERATOR_BACKWARD",
            ["gradient of generator tail input"],
            ["gradient of generator head output"],
        ),
    ],
    "upload": {"observed"},
    "upload kinds": {
        "segments": BLOCK,
        "statistics of activations": "(mean|variance|covariance of the sketch)",
    },
}
DECLARED["huscf-private"] = {
    **DECLARED["huscf-local-discriminator"],
    "order": {"cut", "steps_left"},
    "upload": {"epsilon"},
    "upload kinds": {"segments": BLOCK},
    "losses": {"generator"},
    "product": {},
    "scores": set(),
}
DECLARED["huscf-embedding"] = DECLARED["huscf-private"]

INTEGERS = {
    "mdgan": {"down": {"labels of fakes", "labels of judged fakes"}},
    "uagan": {"down": {"labels of fakes"}},
    "fsgan": {"down": {"labels of fakes"}},
}
"""Kinds of integers in exchanges, which could be labels: here those that the server draws for its fakes.

None goes up, where they could only be the labels of a client's images.
"""

GROUPS = {
    "huscf": r"(cluster-\d+|common)/(generator|discriminator)\.\d+",
    "fedgan": "everybody",
    "hflgan": r"(cluster-\d+|common|global)",
    "fedproto": "everybody",
    "fedvtc": "everybody",
    "fedvtc-own-decoders": "everybody",
    "fedtgp": "everybody",
    "fedgen": "everybody",
    "gefl": "everybody",
    "ccvr": "everybody",
    "fedtype": "everybody",
    "gefl-dcgan": "everybody",
    "fsgan": "everybody",
}
"""Names of the groups of clients that are told the same, where there are any.

Who belongs to no cluster yet is told what is common to all.
"""
for _variant in ("huscf-from-labels", "huscf-local-discriminator", "huscf-private", "huscf-embedding"):
    GROUPS[_variant] = GROUPS["huscf"]

PACKED = {
    "huscf": {"segments"},
    "huscf-from-labels": {"segments"},
    "huscf-local-discriminator": {"segments"},
    "huscf-private": {"segments"},
    "huscf-embedding": {"segments"},
    "fedgan": {"networks"},
    "pflgan": {"networks"},
    "hflgan": {"networks", "global_generator"},
    "fedvtc": {"decoder"},
    "fedgen": {"head"},
    "gefl": {"networks"},
    "gefl-dcgan": {"networks"},
    "ccvr": {"head"},
    "fedtype": {"proxy"},
    "central": {"networks"},
    "mdgan": {"discriminator"},
    "fsgan": {"discriminator"},
}
"""Kinds of uploads that cross as packed differences if ``wire.uploads`` says so: bytes under the same names.

They are those that orders have too.
"""
