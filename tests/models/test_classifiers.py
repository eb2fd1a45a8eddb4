import re

import pytest
import torch
import yaml
from torch import nn
from torch.nn import functional

from huscf_flwr.conf_files import ConfError, known_confs
from huscf_flwr.config import RunConfig
from huscf_flwr.models import load_model_spec
from huscf_flwr.models.classifier_spec import (
    ClassifierFamily,
    TorchvisionSpec,
    classifier_family_of,
    load_classifier_family,
)
from huscf_flwr.models.classifiers import (
    ClassifierNetwork,
    build_classifier,
    check_members,
    classifier_of,
)
from huscf_flwr.models.spec import ImageSpec

GREY_28 = ImageSpec(channels=1, size=28)
FAMILY = {
    "features": 6,
    "groups": 2,
    "map_size": 2,
    "members": [[{"channels": 2, "halve": True}], [{"channels": 4}, {"channels": 2, "halve": True}]],
}

RESNET_18 = TorchvisionSpec(torchvision="resnet18")
TINY = [{"channels": 64, "halve": True}] * 2 + [{"channels": 64}]


@pytest.fixture(scope="module")
def family5():
    return load_classifier_family("family5")


def built(family, member, image=GREY_28, classes=10, *, seed=0, dtype=torch.float32):
    stream = torch.Generator().manual_seed(seed)
    return build_classifier(family, member, image, classes, stream, dtype=dtype)


def refusal(tmp_path, **changes):
    path = tmp_path / "mine.yaml"
    content = {key: value for key, value in {**FAMILY, **changes}.items() if value is not None}
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfError) as caught:
        load_classifier_family(str(path))
    assert str(path) in str(caught.value)
    return str(caught.value)


def family_of(**member):
    content = {**FAMILY, "groups": 8, "members": [[{"channels": 8}], member]}
    return ClassifierFamily.model_validate({"name": "mine", **content})


def test_a_member_of_torchvision_is_built_and_shown_an_image_before_anything_starts():
    check_members(family_of(torchvision="resnet18"), GREY_28)


def test_a_member_whose_layers_the_groups_do_not_divide_is_named():
    family = family_of(torchvision="resnet18").model_copy(update={"groups": 24, "members": (RESNET_18,) * 2})
    with pytest.raises(
        ValueError, match=r"'mine', .* 'members.0' \(resnet18\) .* 1x28x28: 'groups' = 24 does"
    ):
        check_members(family, GREY_28)


@pytest.mark.parametrize("groups", [8, 64])
def test_a_member_that_cannot_normalise_what_is_left_of_a_small_image_is_named(groups):
    """A single number in a group has no spread."""
    family = ClassifierFamily.model_validate(
        {**FAMILY, "name": "mine", "groups": groups, "map_size": 1, "members": [TINY]}
    )
    if groups == 8:
        check_members(family, ImageSpec(channels=1, size=4))
        return
    with pytest.raises(ValueError, match=r"'members.0' does not fit images of 1x4x4: .* more than 1 value"):
        check_members(family, ImageSpec(channels=1, size=4))


@pytest.mark.parametrize(
    ("member", "said"),
    [({"torchvision": "resnet19"}, "resnet18"), ({"torchvision": "resnet18", "stem": True}, "small_stem")],
)
def test_what_torchvision_or_we_do_not_know_is_refused_when_the_file_is_read(tmp_path, member, said):
    assert said in refusal(tmp_path, members=[member])


def test_family5_has_the_widths_of_the_specification(family5):
    assert [len(layers) for layers in family5.members] == [1, 2, 2, 3, 4]
    widths = {layer.channels for layers in family5.members for layer in layers}
    assert (min(widths), max(widths), family5.features) == (16, 64, 512)


@pytest.mark.parametrize("size", [28, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_all_members_make_features_of_the_same_width_and_a_logit_for_each_class(family5, channels, size):
    images = torch.zeros(3, channels, size, size)
    for member in range(5):
        network = built(family5, member, ImageSpec(channels=channels, size=size), classes=7)
        features = network.features(images)
        assert features.shape == (3, 512)
        assert torch.equal(network(images), network.head(features))
        assert network(images).shape == (3, 7)


@pytest.mark.parametrize("name", known_confs("classifiers"))
@pytest.mark.parametrize("model", known_confs("models"))
def test_all_families_fit_all_models(name, model):
    load_classifier_family(name).check_fits(load_model_spec(model).image)


def test_numbers_of_weights_worked_by_hand(family5):
    """Of 28x28 grey images with ten classes: 9 x in x out + out of a convolution, 2 x out of GroupNorm.

    The features: 16 x last x 512 + 512, since maps are averaged to 4x4. The head: 512 x 10 + 10 = 5130.
    """
    expected = [
        # 16; 16 x 16 x 512 + 512
        (160 + 32) + 131_584 + 5_130,
        # 16, 32; 16 x 32 x 512 + 512
        (160 + 32) + (4_640 + 64) + 262_656 + 5_130,
        # 32, 64; 16 x 64 x 512 + 512
        (320 + 64) + (18_496 + 128) + 524_800 + 5_130,
        # 16, 32, 64
        (160 + 32) + (4_640 + 64) + (18_496 + 128) + 524_800 + 5_130,
        # 32, 32, 64, 64
        (320 + 64) + (9_248 + 64) + (18_496 + 128) + (36_928 + 128) + 524_800 + 5_130,
    ]
    assert expected == [136_906, 272_682, 548_938, 553_450, 595_306]
    counts = [sum(p.numel() for p in built(family5, member).parameters()) for member in range(5)]
    assert counts == expected


def test_a_network_is_what_its_layers_say():
    """Plain functions on the weights of a small member of two layers give the same."""
    network = built(ClassifierFamily.model_validate({"name": "small", **FAMILY}), 1, dtype=torch.float64)
    images = torch.rand(3, 1, 28, 28, dtype=torch.float64) * 2 - 1
    weights = list(network.parameters())
    maps = functional.conv2d(images, weights[0], weights[1], padding=1)
    maps = functional.group_norm(maps, 2, weights[2], weights[3]).relu()
    maps = functional.conv2d(maps, weights[4], weights[5], padding=1)
    maps = functional.group_norm(maps, 2, weights[6], weights[7]).relu()
    maps = functional.max_pool2d(maps, 2)
    # 14x14 in 2x2 parts of 7x7 each.
    means = maps.unflatten(2, (2, 7)).unflatten(4, (2, 7)).mean((3, 5)).flatten(1)
    features = means @ weights[8].t() + weights[9]
    torch.testing.assert_close(network.features(images), features, rtol=1e-10, atol=1e-10)
    logits = features @ weights[10].t() + weights[11]
    torch.testing.assert_close(network(images), logits, rtol=1e-10, atol=1e-10)


def states_of(config, client, **arguments):
    return classifier_of(config, client, **arguments).state_dict()


def test_the_same_seed_and_client_have_the_same_weights_whatever_was_drawn_before():
    torch.manual_seed(1)
    first = states_of(RunConfig(seed=3), 2)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = states_of(RunConfig(seed=3), 2)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("seed", "client"), [(4, 2), (3, 7)])
def test_other_seeds_and_other_clients_have_others(seed, client):
    """Clients 2 and 7 have the same architecture."""
    first, second = states_of(RunConfig(seed=3), 2), states_of(RunConfig(seed=seed), client)
    assert first.keys() == second.keys()
    convolution, head = "extractor.0.weight", "head.bias"
    assert not torch.equal(first[convolution], second[convolution])
    assert not torch.equal(first[head], second[head])


def test_weights_do_not_depend_on_the_precision():
    single = states_of(RunConfig(), 0)
    double = states_of(RunConfig(), 0, dtype=torch.float64)
    mixed = states_of(RunConfig(), 0, dtype=torch.bfloat16)
    for name, tensor in single.items():
        assert double[name].dtype == torch.float64
        assert torch.equal(double[name], tensor.double())
        assert torch.equal(mixed[name], tensor)


def test_weights_are_drawn_by_the_rules_of_pytorchs_own_layers(family5):
    """Uniform in ±1 / sqrt(inputs of an output): none is outside, and their spread is that of this range."""
    for layer in built(family5, 4).modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            limit = layer.weight[0].numel() ** -0.5
            for drawn in (layer.weight, layer.bias):
                assert drawn.abs().max() <= limit
                assert drawn.std().item() == pytest.approx(limit / 3**0.5, rel=0.5)
        elif isinstance(layer, nn.GroupNorm):
            assert layer.weight.eq(1).all() and layer.bias.eq(0).all()


def test_members_are_dealt_in_turn(family5):
    spec = load_model_spec("authors-28")
    for client in (0, 4, 5, 13):
        shapes = {name: t.shape for name, t in states_of(RunConfig(), client).items()}
        expected = built(family5, client % 5, spec.image, spec.classes).state_dict()
        assert shapes == {name: tensor.shape for name, tensor in expected.items()}


def test_in_bfloat16_features_and_logits_have_the_type_of_the_weights(family5):
    network = built(family5, 1, dtype=torch.bfloat16)
    images = torch.zeros(2, 1, 28, 28)
    assert network.features(images).dtype == network(images).dtype == torch.float32


def test_one_image_is_enough(family5):
    """Also for training, and alone it has the same features as among others."""
    network = built(family5, 2, dtype=torch.float64).train()
    images = torch.rand(3, 1, 28, 28, dtype=torch.float64)
    torch.testing.assert_close(network.features(images[:1]), network.features(images)[:1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": 0}, "'features' is 0"),
        ({"groups": None}, "'groups' is missing"),
        ({"group": 2}, r"unknown key 'group' \(did you mean 'groups'"),
        ({"members": []}, r"'members' is \[\]"),
        ({"members": [[]]}, r"'members\.0' is \[\]"),
        ({"members": [[{"channels": 0}]]}, r"'members\.0\.0\.channels' is 0"),
        ({"members": [[{"channels": 2, "stride": 2}]]}, r"unknown key 'members\.0\.0\.stride'"),
        (
            {"members": [FAMILY["members"][0], [{"channels": 2}, {"channels": 3}]]},
            r"'members\.1\.1\.channels' is 3, which 'groups' = 2 does not divide",
        ),
    ],
)
def test_a_file_that_is_not_right_is_refused_by_name_and_key(tmp_path, changes, message):
    assert re.search(message, refusal(tmp_path, **changes))


def test_a_family_that_is_not_there():
    with pytest.raises(ConfError, match=r"conf/classifiers: 'family6'.*did you mean 'family5'"):
        load_classifier_family("family6")


def test_images_that_are_too_small_are_refused(tmp_path):
    """Three halvings leave 3x3 of 28x28, which cannot be averaged to 4x4."""
    path = tmp_path / "deep.yaml"
    halved = [{"channels": 2, "halve": True}]
    path.write_text(yaml.safe_dump({**FAMILY, "map_size": 4, "members": [halved, halved * 3]}))
    config = RunConfig.model_validate({"classifier": {"family": str(path)}})
    with pytest.raises(
        ValueError, match=r"'deep'.*'members\.1' leaves 3x3 of images of 28x28.*'map_size' is 4"
    ):
        classifier_family_of(config, load_model_spec("authors-28"))
    assert isinstance(ClassifierNetwork(load_classifier_family(str(path)), 0, GREY_28, 10), nn.Module)


NETWORKS = {
    "resnets": {0: 115_818, 2: 213_034},
    "mixed": {1: 2_884_874, 4: 359_082},
    "htfe-img-4": {0: 549_514, 1: 6_129_834, 3: 11_444_298},
}
"""Weights of members for 32 pixels in colour and ten classes, features of 512."""


@pytest.mark.parametrize(("name", "weights"), NETWORKS.items(), ids=NETWORKS)
def test_other_families_make_features_of_one_width_too(name, weights):
    family, image = load_classifier_family(name), ImageSpec(channels=3, size=32)
    family.check_fits(image)
    for member, expected in weights.items():
        network = built(family, member, image)
        assert sum(parameter.numel() for parameter in network.parameters()) == expected
        assert network.features(torch.zeros(2, 3, 32, 32)).shape == (2, 512)


def test_the_family_of_eight_begins_with_that_of_four():
    four, eight = (load_classifier_family(f"htfe-img-{count}").members for count in (4, 8))
    assert eight[:4] == four
    assert [member.torchvision for member in eight[4:]] == ["resnet34", "resnet50", "resnet101", "resnet152"]


def test_networks_of_torchvision_neither_draw_nor_keep_statistics():
    family = load_classifier_family("mixed")
    for member in (1, 3):
        network = built(family, member)
        kinds = {type(layer) for layer in network.modules()}
        assert not kinds & {nn.BatchNorm2d, nn.Dropout}
        images = torch.rand(2, 1, 28, 28)
        assert torch.equal(network(images), network(images))
        again = built(family, member).state_dict()
        assert all(torch.equal(tensor, again[key]) for key, tensor in network.state_dict().items())


def test_a_small_stem_leaves_images_larger():
    member = {"torchvision": "resnet18"}
    sizes = []
    for stem in (False, True):
        content = {**FAMILY, "name": "any", "groups": 8, "members": [{**member, "small_stem": stem}]}
        network = built(ClassifierFamily.model_validate(content), 0, ImageSpec(channels=1, size=32))
        maps = network.extractor.layer1(
            network.extractor.maxpool(network.extractor.conv1(torch.zeros(1, 1, 32, 32)))
        )
        sizes.append(maps.shape[-1])
    assert sizes == [8, 32]


def test_a_residual_block_adds_its_input_and_rounds_sizes_up():
    content = {**FAMILY, "name": "any", "map_size": 1}
    content["members"] = [[{"channels": 4}, {"kind": "residual", "channels": 4, "halve": True}]]
    family = ClassifierFamily.model_validate(content)
    family.check_fits(ImageSpec(channels=1, size=7))
    block = built(family, 0).extractor[3]
    with torch.no_grad():
        for parameter in block.convolutions.parameters():
            parameter.zero_()
    inputs = torch.rand(1, 4, 7, 7)
    assert torch.equal(block(inputs), block.past(inputs).relu())
    assert block(inputs).shape == (1, 4, 4, 4)


def test_groups_that_divide_no_channels_of_torchvision_are_refused():
    content = {**FAMILY, "name": "any", "groups": 7, "members": [{"torchvision": "resnet18"}]}
    with pytest.raises(
        ValueError, match="'groups' = 7 does not divide the 64 channels of a layer of resnet18"
    ):
        built(ClassifierFamily.model_validate(content), 0)


def test_an_unknown_network_is_refused_by_its_key(tmp_path):
    assert "'members.0.torchvision' is 'resnet19'" in refusal(tmp_path, members=[{"torchvision": "resnet19"}])


def test_all_clients_may_have_one_architecture_and_it_must_be_there():
    config = RunConfig(classifier={"member": 4})
    sizes = {sum(p.numel() for p in classifier_of(config, client).parameters()) for client in (0, 1, 2)}
    assert len(sizes) == 1
    with pytest.raises(ValueError, match=r"classifier.member.* is 5, but the family 'family5' has 5 members"):
        classifier_family_of(RunConfig(classifier={"member": 5}), load_model_spec("authors-28"))


def test_features_may_be_wider_or_narrower_than_the_file_says():
    config = RunConfig(classifier={"features": 32})
    assert classifier_of(config, 0).features(torch.zeros(1, 1, 28, 28)).shape == (1, 32)
