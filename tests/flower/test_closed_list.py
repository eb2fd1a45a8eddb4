"""What the methods declare is what is written out by hand, no more and no less."""

import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from pydantic import BaseModel

from huscf_flwr.methods import BUILT_IN, method_named
from tests.flower.closed_list import DECLARED, unlisted


def keys_of(model, prefix=""):
    """The keys of facts as they cross: nested fields have dotted ones."""
    keys = set()
    for name, field in model.model_fields.items():
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            keys |= keys_of(nested, f"{prefix}{name}.")
        else:
            keys.add(prefix + name)
    return keys


def declared(method):
    crossing = method.crossing
    return {
        "description": keys_of(crossing.description),
        "order": keys_of(crossing.order),
        "order kinds": set(crossing.order_kinds),
        "exchanges": [
            (exchange.name, *([kind.name for kind in kinds] for kinds in (exchange.up, exchange.down)))
            for exchange in crossing.exchanges
        ],
        "upload": keys_of(crossing.upload),
        "upload kinds": set(crossing.upload_kinds),
        "losses": set(method.client.losses),
        "product": {crossing.product_kind},
        "scores": set(crossing.scores),
    }


def test_every_method_of_ours_is_written_out():
    assert DECLARED.keys() == BUILT_IN.keys()


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_a_method_declares_what_is_written_out(name):
    listed = {
        part: set(kinds) if isinstance(kinds, dict) else kinds for part, kinds in DECLARED[name].items()
    }
    assert declared(method_named(name)) == listed


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_exchanges_carry_numbers_only(name):
    """Integers could be labels: a method that sends some is to be written out here with their kinds."""
    kinds = [kind for each in method_named(name).crossing.exchanges for kind in (*each.up, *each.down)]
    assert all(kind.dtype is None for kind in kinds)


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_the_list_notices_what_is_not_on_it(name):
    records = RecordDict(
        {
            "description/1": ConfigRecord({"samples": 3, "labels": [1, 2]}),
            "domain": ConfigRecord({"name": "mnist"}),
            "description/2": MetricRecord({"samples": 3}),
        }
    )
    found = unlisted(records, "query.describe", "up", name)
    assert found == ["description/1/labels", "domain", "description/2"]
    (kind,) = DECLARED[name]["upload kinds"]
    arrays = RecordDict({f"tensors/1/{kind}": ArrayRecord({"images": torch.zeros(2, dtype=torch.uint8)})})
    found = unlisted(arrays, "train", "up", name)
    assert found == [f"tensors/1/{kind}/images", f"tensors/1/{kind}/images: uint8"]
    images = RecordDict({"tensors/1/images": ArrayRecord({"generator.0.main.weight": torch.zeros(2)})})
    assert unlisted(images, "train", "up", name) == ["tensors/1/images"]


def test_a_method_of_messages_is_told_of_no_stream():
    stream = RecordDict({"stream": ConfigRecord({"address": "localhost:1"})})
    assert unlisted(stream, "train", "down", "huscf") == []
    assert unlisted(stream, "train", "down", "fedgan") == ["stream"]
