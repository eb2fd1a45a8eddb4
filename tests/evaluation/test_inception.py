"""A second feature space: torchvision's Inception v3 with weights of a file, and never from the network."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import inception_v3

from huscf_flwr.conf_files import ConfError
from huscf_flwr.config import load_config
from huscf_flwr.data import normalise
from huscf_flwr.data.progress import progress_told
from huscf_flwr.evaluation import inception as module
from huscf_flwr.evaluation.domain_scores import evaluation_settings, judge_domain
from huscf_flwr.evaluation.inception import Inception, check_inception, inception_fid, load_inception
from huscf_flwr.evaluation.judge import train_judge
from huscf_flwr.methods import method_of
from huscf_flwr.run.check import check_settings
from tests.evaluation.domains import QUICK, digits_8x8, real_sampler


class ColourMeans(nn.Module):
    """Stands for Inception: four features, of which the first is the mean of an image."""

    def forward(self, images):
        assert images.shape[1:] == (3, 299, 299)
        means = images.mean((1, 2, 3))
        return torch.stack([means, means**2, images[:, 0, 0, 0], images[:, 2, -1, -1]], dim=1)


STANDING_IN = Inception(ColourMeans(), "one")


def some_digits():
    """A domain of 30 training images: enlarging them is what takes time here."""
    return replace(digits_8x8(), train=digits_8x8().train.subset(torch.arange(30)))


def test_images_of_any_form_are_brought_to_the_networks():
    """Grey and colour, bytes and floats: a plain image stays plain, and its mean is its only value."""
    grey = torch.full((2, 1, 8, 8), 255, dtype=torch.uint8)
    colour = torch.full((3, 3, 32, 32), -0.5)
    assert torch.allclose(STANDING_IN.features(grey), torch.tensor([[1.0, 1.0, 1.0, 1.0]] * 2))
    assert torch.allclose(STANDING_IN.features(colour), torch.tensor([[-0.5, 0.25, -0.5, -0.5]] * 3))


def test_how_many_images_it_has_looked_at_is_told(monkeypatch):
    monkeypatch.setattr(module, "_IMAGES_AT_ONCE", 1)
    told = []
    with progress_told(lambda *each: told.append(each)):
        STANDING_IN.features(torch.zeros(2, 1, 8, 8))
    assert told == [("looking at images with the Inception network", done, 2) for done in (0, 1, 2)]


def test_the_distance_is_that_of_the_features_and_real_ones_are_looked_at_once(tmp_path):
    """All images darker by 0.5: the means move, and the training images themselves have no distance."""
    small = some_digits()
    images = normalise(small.train.images)
    assert inception_fid(STANDING_IN, small, images, cache=tmp_path) == pytest.approx(0, abs=1e-6)
    assert inception_fid(STANDING_IN, small, images - 0.5, cache=tmp_path) > 0.5
    (kept,) = (tmp_path / "inception").iterdir()
    before = kept.stat().st_mtime_ns
    inception_fid(STANDING_IN, small, images, cache=tmp_path)
    assert kept.stat().st_mtime_ns == before
    kept.write_bytes(b"damaged")
    assert inception_fid(STANDING_IN, small, images, cache=tmp_path) == pytest.approx(0, abs=1e-6)
    inception_fid(replace(STANDING_IN, version="two"), small, images, cache=tmp_path)
    assert len(list((tmp_path / "inception").iterdir())) == 2


def test_of_many_real_images_some_are_looked_at_in_every_run_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_REAL_IMAGES", 20)
    seen = []
    monkeypatch.setattr(Inception, "features", lambda self, images: seen.append(images) or torch.rand(20, 4))
    for place in ("a", "b"):
        inception_fid(STANDING_IN, digits_8x8(), torch.rand(5, 1, 8, 8), cache=tmp_path / place)
    generated, real, _, again = seen
    assert (len(generated), len(real)) == (5, 20)
    assert torch.equal(real, again)


def test_a_run_has_it_at_the_end_where_a_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("huscf_flwr.evaluation.domain_scores.load_inception", lambda weights: STANDING_IN)
    domain = some_digits()
    config = load_config("demo", [f"evaluation.inception={tmp_path / 'x'}", f"data.cache={tmp_path}"])
    settings = replace(evaluation_settings(config), images=20, synthetic_images=0)
    judge = train_judge(domain, seed=0, settings=QUICK.model_copy(update={"epochs": 1}))
    for inception in (settings.inception, None):
        scores = judge_domain(
            domain,
            real_sampler(domain),
            judge,
            replace(settings, inception=inception),
            torch.Generator().manual_seed(0),
        )
        assert ("inception_fid" in scores.as_dict()) == (inception is not None)


def test_what_is_no_such_file_is_refused_before_anything_starts(tmp_path):
    place = tmp_path / "inception.safetensors"

    def checked(path):
        config = load_config("demo", [f"evaluation.inception={path}", f"output={tmp_path}"])
        check_settings(config, method_of(config))

    with pytest.raises(ConfError, match=r"evaluation\.inception: .* no such file, and nothing is downloaded"):
        checked(place)
    place.write_bytes(b"PK\x03\x04 as torch.save writes")
    with pytest.raises(ConfError, match=r"no safetensors file .*weights_only=True"):
        checked(place)
    save_file({"Conv2d_1a_3x3.conv.weight": torch.zeros(2, 3)}, place)
    with pytest.raises(ConfError, match=r"conv\.weight is F32 \[2, 3\], not F32 \[32, 3, 3, 3\]"):
        checked(place)
    check_inception(None)


def forms_without(*names, **others):
    """What a file's header says of the whole network, but for what is left out or is another."""
    state = module._empty_network().state_dict()
    forms = {
        name: ("F32" if each.is_floating_point() else "I64", tuple(each.shape))
        for name, each in state.items()
    }
    return {name: form for name, form in forms.items() if name not in names} | others


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (forms_without, None),
        (lambda: forms_without("Mixed_7c.branch_pool.bn.num_batches_tracked"), None),
        (lambda: forms_without("Mixed_7c.branch_pool.bn.running_var"), "running_var is missing"),
        (
            lambda: forms_without() | {"AuxLogits.fc.bias": ("F32", (10,))},
            r"bias is F32 \[10\], not F32 \[1000\]",
        ),
        (lambda: forms_without() | {"fc.bias": ("F16", (1000,))}, r"bias is F16 \[1000\], not F32"),
        (lambda: forms_without(more=("F32", (1,))), "more is none of its tensors"),
    ],
)
def test_every_tensor_is_looked_at_and_none_is_read(found, problem, tmp_path, monkeypatch):
    (tmp_path / "x").touch()
    monkeypatch.setattr(module, "_forms_in", lambda weights: found())
    if problem is None:
        check_inception(tmp_path / "x")
        return
    with pytest.raises(ConfError, match=rf"evaluation\.inception: .*{problem}.*not the weights of"):
        check_inception(tmp_path / "x")


@pytest.mark.slow
def test_the_features_are_torchvisions_own(tmp_path):
    """Weights at random; torchvision's own network takes images normalised as for ImageNet."""
    torch.manual_seed(0)
    theirs = inception_v3(weights=None, init_weights=False, transform_input=True).eval()
    save_file(theirs.state_dict(), tmp_path / "inception.safetensors")
    state = torch.random.get_rng_state()
    ours = load_inception(tmp_path / "inception.safetensors")
    assert torch.equal(torch.random.get_rng_state(), state)
    images = torch.rand(2, 3, 299, 299) * 2 - 1
    mean, spread = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    theirs.fc = nn.Identity()
    with torch.no_grad():
        expected = theirs(((images + 1) / 2 - mean[:, None, None]) / spread[:, None, None])
    assert expected.shape == (2, 2048)
    assert torch.allclose(ours.features(images), expected, rtol=1e-3, atol=1e-4)
