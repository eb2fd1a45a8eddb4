import pytest
import torch
import yaml

from huscf_flwr.conf_files import ConfError, known_confs
from huscf_flwr.models.decoders import DecoderSpec, build_decoder, load_decoder_spec
from huscf_flwr.models.spec import ImageSpec

SMALL = DecoderSpec(name="small", channels=(4, 2), groups=2)


def built(spec, features, channels, size, *, seed=0, dtype=torch.float32):
    stream = torch.Generator().manual_seed(seed)
    return build_decoder(spec, features, ImageSpec(channels=channels, size=size), stream, dtype=dtype)


@pytest.mark.parametrize(
    ("name", "features", "channels", "size", "weights"),
    [
        ("vtc", 512, 3, 32, 1_214_403),
        ("vtc", 512, 1, 28, 1_213_377),
        ("vtc", 512, 3, 64, 1_476_803),
        ("vtc-small", 128, 1, 28, 172_513),
    ],
)
def test_decoders_have_the_weights_of_the_specification(name, features, channels, size, weights):
    decoder = built(load_decoder_spec(name), features, channels, size)
    assert sum(parameter.numel() for parameter in decoder.parameters()) == weights


@pytest.mark.parametrize("size", [8, 16, 28, 32, 64, 100])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_vector_becomes_an_image_of_any_size_with_pixels_from_minus_one_to_one(size, channels):
    images = built(SMALL, 5, channels, size)(100 * torch.randn(2, 5))
    assert images.shape == (2, channels, size, size)
    assert images.abs().max() <= 1


def test_what_is_missing_to_the_size_is_doubled_with_the_first_channels():
    spec = DecoderSpec(name="any", channels=(8, 4, 2), groups=2)
    assert spec.channels_for(ImageSpec(channels=1, size=32)) == (8, 4, 2)
    assert spec.channels_for(ImageSpec(channels=1, size=28)) == (8, 4, 2)
    assert spec.channels_for(ImageSpec(channels=1, size=128)) == (8, 8, 8, 4, 2)
    assert spec.channels_for(ImageSpec(channels=1, size=8)) == (2,)


def test_an_image_of_28_pixels_is_the_middle_of_one_of_32():
    features = torch.randn(2, 5, generator=torch.Generator().manual_seed(1))
    small, large = (built(SMALL, 5, 1, size)(features) for size in (28, 32))
    assert torch.equal(small, large[:, :, 2:30, 2:30])


def test_weights_come_from_the_stream_alone():
    first, again, other = (built(SMALL, 5, 1, 28, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["layers.0.weight"], other["layers.0.weight"])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_images_have_the_type_of_the_weights(dtype):
    decoder = built(SMALL, 5, 1, 28, dtype=dtype)
    weights = torch.promote_types(dtype, torch.float32)
    assert decoder(torch.randn(2, 5, dtype=weights)).dtype == weights


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        ({"channels": [6, 4], "groups": 4}, r"'channels.0' is 6, which 'groups' = 4 does not divide"),
        ({"channels": [], "groups": 4}, "channels"),
        ({"channels": [4], "groups": 4, "widths": 1}, "widths"),
        ({"channels": [4], "groups": 4, "leak": 1.0}, "leak"),
    ],
)
def test_a_file_that_describes_no_decoder_is_refused_by_name(tmp_path, content, refusal):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfError, match=refusal) as caught:
        load_decoder_spec(str(path))
    assert str(path) in str(caught.value)


def test_all_decoders_of_the_package_can_be_read():
    assert [load_decoder_spec(name).name for name in known_confs("decoders")] == ["vtc", "vtc-small"]
