"""What the methods declare is what is written out by hand, no more and no less."""

import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from pydantic import BaseModel

from tests.flower.closed_list import DECLARED, GROUPS, INTEGERS, PACKED
from tests.flower.listed_messages import unlisted
from tests.run.builders import METHODS, method_class


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
        "product": {crossing.product_kind} - {""},
        "evaluation kinds": set(crossing.evaluation_kinds),
        "scores": set(crossing.scores),
    }


def test_every_method_of_ours_is_written_out():
    """Also that each of ours is among them: tests/run/test_all_methods.py."""
    assert DECLARED.keys() == METHODS.keys()


@pytest.mark.parametrize("name", METHODS)
def test_a_method_declares_what_is_written_out(name):
    listed = {
        part: set(kinds) if isinstance(kinds, dict) else kinds for part, kinds in DECLARED[name].items()
    }
    assert declared(method_class(name)) == listed


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("way", ["up", "down"])
def test_exchanges_carry_no_integers_but_those_that_are_written_out(name, way):
    """Integers could be labels."""
    kinds = [kind for each in method_class(name).crossing.exchanges for kind in each.kinds(way)]
    found = {kind.name for kind in kinds if kind.dtype is not None}
    assert found == INTEGERS.get(name, {}).get(way, set())


@pytest.mark.parametrize("name", METHODS)
def test_only_what_was_sent_down_comes_up_packed(name):
    crossing = method_class(name).crossing
    assert set(crossing.upload_kinds) & set(crossing.order_kinds) == PACKED.get(name, set())


def test_the_list_takes_bytes_only_for_weights_that_come_up_packed():
    weight = {"generator.0.main.weight": torch.zeros(2, dtype=torch.uint8)}
    records = RecordDict({"tensors/1/networks": ArrayRecord(weight)})
    refused = ["tensors/1/networks/generator.0.main.weight: uint8"]
    assert unlisted(records, "train", "up", "fedgan", packed=True) == []
    assert unlisted(records, "train", "up", "fedgan") == refused
    assert unlisted(records, "train", "down", "fedgan", packed=True) == refused


@pytest.mark.parametrize("name", METHODS)
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
    for kind in DECLARED[name]["upload kinds"]:
        arrays = RecordDict({f"tensors/1/{kind}": ArrayRecord({"images": torch.zeros(2, dtype=torch.uint8)})})
        found = unlisted(arrays, "train", "up", name)
        assert found == [f"tensors/1/{kind}/images", f"tensors/1/{kind}/images: uint8"]
    images = RecordDict({"tensors/1/images": ArrayRecord({"generator.0.main.weight": torch.zeros(2)})})
    assert unlisted(images, "train", "up", name) == ["tensors/1/images"]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_messages_is_told_of_no_stream(name):
    stream = RecordDict({"stream": ConfigRecord({"address": "localhost:1"})})
    assert unlisted(stream, "train", "down", name) == ([] if DECLARED[name]["exchanges"] else ["stream"])


@pytest.mark.parametrize("name", METHODS)
def test_groups_are_told_of_where_there_are_some(name):
    groups = RecordDict({"groups/1": ConfigRecord({"names": ["everybody"]})})
    assert unlisted(groups, "train", "down", name) == ([] if name in GROUPS else ["groups/1"])


@pytest.mark.parametrize("name", METHODS)
def test_only_what_is_made_of_class_means_is_sent_for_an_evaluation(name):
    rows = {
        "global_means": "means",
        "global_prototypes": "prototypes",
        "calibrated_head": "weight",
        "proxy": "head.weight",
        "networks": "weights",
    }
    records = RecordDict(
        {f"group/everybody/{kind}": ArrayRecord({row: torch.zeros(2, 3)}) for kind, row in rows.items()}
    )
    listed = {
        "fedproto": "global_means",
        "fedtgp": "global_prototypes",
        "ccvr": "calibrated_head",
        "fedtype": "proxy",
    }.get(name)
    expected = [f"group/everybody/{kind}" for kind in rows if kind != listed]
    assert unlisted(records, "evaluate", "down", name) == expected


@pytest.mark.parametrize("name", METHODS)
def test_how_many_images_scores_rest_on_crosses_only_with_those_of_products(name):
    counts = RecordDict({f"samples/{on}/1": ConfigRecord({"samples": 3}) for on in ("test", "product")})
    product = [] if DECLARED[name]["product"] else ["samples/product/1"]
    assert unlisted(counts, "evaluate", "up", name) == ["samples/test/1", *product]


@pytest.mark.parametrize("name", METHODS)
def test_nobody_judges_what_is_no_product(name):
    weight = "decoder.layers.0.weight" if name == "fedvtc" else "generator.0.main.weight"
    record = RecordDict({"product/generator": ArrayRecord({weight: torch.zeros(2)})})
    has_product = bool(DECLARED[name]["product"])
    assert unlisted(record, "evaluate", "down", name) == ([] if has_product else ["product/generator"])
