"""Small architectures for tests."""

from huscf_flwr.conf_files import known_confs
from huscf_flwr.models import ModelSpec, load_model_spec

NAMES = known_confs("models")


def three_block_spec() -> ModelSpec:
    """The smallest network there is: nothing can move."""
    return ModelSpec.model_validate(
        {
            "name": "three-blocks",
            "image": {"channels": 1, "size": 8},
            "classes": 3,
            "latent": 5,
            "generator": {
                "middle": 2,
                "blocks": [
                    {"kind": "projection", "embedding": 2, "channels": 4, "size": 4, "norm": "batch"},
                    {
                        "kind": "transposed_convolution",
                        "channels": 3,
                        "kernel": 4,
                        "stride": 2,
                        "padding": 1,
                        "norm": "batch",
                        "activation": "relu",
                    },
                    {
                        "kind": "transposed_convolution",
                        "channels": 1,
                        "kernel": 3,
                        "padding": 1,
                        "activation": "tanh",
                    },
                ],
            },
            "discriminator": {
                "middle": 2,
                "blocks": [
                    {"kind": "convolution", "label_plane": True, "channels": 3, "kernel": 3, "padding": 1},
                    {"kind": "convolution", "channels": 4, "kernel": 4, "stride": 2, "norm": "batch"},
                    {"kind": "linear", "features": 1},
                ],
            },
        }
    )


def small_specs() -> dict[str, ModelSpec]:
    return {
        "authors-28": load_model_spec("authors-28", width=0.03),
        "colour-32": load_model_spec("colour-32", width=0.02),
        "three-blocks": three_block_spec(),
    }


def architectures():
    """All networks in conf/models, narrow, and the smallest possible one."""
    return [*(load_model_spec(name, width=0.03) for name in NAMES), three_block_spec()]
