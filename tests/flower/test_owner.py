import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from flwr.app import Context, RecordDict

from huscf_flwr.cuts import load_devices
from huscf_flwr.data import LabelledImages, population_of, write_idx_folder
from huscf_flwr.data.progress import Paced
from huscf_flwr.flower.own_files import OwnFilesError, own_files_told
from huscf_flwr.flower.owner import owner_of, root_certificates_of
from huscf_flwr.methods import method_named, resolved
from huscf_flwr.models import build_network, flatten_blocks, model_spec_of
from huscf_flwr.models.classifiers import classifier_of
from tests.data.formats.writing import huggingface, some, write_npz, write_pictures, write_table
from tests.run.builders import small_run, write_domains

OF_OTHER_CLASSES = (
    "^client 0: its images cannot be used, since their labels or the names of their classes do not"
)
"""What the server learns; the log has the rest."""


def context(**node_config):
    named = {key.replace("_", "-"): value for key, value in node_config.items()}
    return Context(1, 2, named, RecordDict(), {})


def test_without_data_of_its_own_a_supernode_is_a_host():
    assert owner_of(context()) is None
    assert owner_of(context(partition_id=3, num_partitions=8)) is None


def test_an_owner_is_what_the_node_config_says(tmp_path):
    owner = owner_of(
        context(
            client_id=3,
            data_folder=str(tmp_path / "data"),
            state_folder=str(tmp_path / "state"),
            device_profile="paper:d3",
        )
    )
    assert owner.client == 3
    assert owner.data_folder == tmp_path / "data"
    assert owner.state_folder == tmp_path / "state"
    assert owner.device() == next(d for d in load_devices("paper").devices if d.name == "d3")


def test_state_lies_beside_the_data_if_nothing_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    owner = owner_of(context(client_id=0, data_folder="mine"))
    assert owner.data_folder == tmp_path / "mine"
    assert owner.state_folder == tmp_path / "mine-state"
    assert owner.state_folder.is_absolute()
    assert owner.device() in load_devices("paper").devices


def test_paths_of_an_owner_are_as_a_person_would_guess(tmp_path, monkeypatch):
    """`~` is the home folder, and any characters are allowed."""
    monkeypatch.setenv("HOME", str(tmp_path))
    write_idx_folder(tmp_path / "my [x] 😀 é", some(20, size=28), some(4, size=28))
    owner = owner_of(context(client_id=0, data_folder="~/my [x] 😀 é", state_folder="~/state"))
    assert owner.state_folder == tmp_path / "state"
    assert len(owner.domain(model_spec_of(small_run(tmp_path, tmp_path))).train) == 20


def test_a_folder_that_begins_with_a_tilde_and_no_user_is_called_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    owner = owner_of(context(client_id=0, data_folder="~nosuch/mine"))
    assert owner.data_folder == tmp_path / "~nosuch" / "mine"
    assert owner.state_folder == tmp_path / "~nosuch" / "mine-state"
    assert owner_of(context(client_id=0, data_folder="x", state_folder="~s")).state_folder == tmp_path / "~s"


@pytest.mark.parametrize("given", [{"client_id": 3}, {"data_folder": "/data"}])
def test_a_client_id_and_a_data_folder_go_together(given):
    with pytest.raises(ValueError, match="node config: client-id and data-folder go together"):
        owner_of(context(**given))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"client_id": "three"}, "client-id is three, but must be a whole number"),
        ({"client_id": -1}, "client-id is -1, but must be a whole number"),
        ({"first_label": "x"}, "first-label is x, but must be a whole number"),
        ({"first_label": 300}, "'first-label' is 300: it must be less than or equal to 255$"),
        ({"class_names": "a, a,b"}, r"class-names \['a', 'a', 'b'\] has a name twice.*correct it$"),
        (
            {"data_folder": "hub:bad name!!", "state_folder": "/state"},
            "'data-folder' is 'hub:bad name!!': the name of a data set on Hugging Face's hub is wanted",
        ),
        ({"clas_names": "a,b"}, r"unknown key 'clas-names' \(did you mean 'class-names'"),
        ({"data_foldr": "/data"}, r"unknown key 'data-foldr' \(did you mean 'data-folder'"),
    ],
)
def test_a_node_config_that_cannot_be_meant_is_refused(given, message):
    with pytest.raises(ValueError, match=f"node config: {message}"):
        owner_of(context(**{"client_id": 0, "data_folder": "/data", **given}))


def test_networks_with_more_classes_than_images_can_have_are_named_and_not_the_node_config():
    owner = owner_of(context(client_id=0, data_folder="/data"))
    with pytest.raises(ValueError, match=r"^model: 'classes' is 300: it must be less than or equal to 256$"):
        owner.source(300)


def test_keys_for_other_apps_are_left_alone():
    assert owner_of(context(client_id=0, data_folder="/data", colour="red")) is not None


def test_what_is_odd_about_its_images_is_told_by_who_examines_them(owner, tmp_path, caplog, monkeypatch):
    write_pictures(tmp_path / "few" / "train", some(3), names=("0", "1", "2"))
    few = replace(owner, data_folder=tmp_path / "few")
    spec = model_spec_of(small_run(tmp_path, tmp_path))
    few.domain(spec)
    assert caplog.records == []
    monkeypatch.setattr(Paced, "__call__", lambda self, what, *_: self._tell(what))
    caplog.set_level("INFO", "flwr")
    replace(few, examines=True).domain(spec)
    assert f"reading {tmp_path / 'few'}" in caplog.messages
    odd = "client 0: domain 'own': fewer than 50 training images of every class"
    assert any(message.startswith(odd) for message in caplog.messages)


def test_an_owners_own_file_needs_no_server(tmp_path):
    (tmp_path / "mine.yaml").write_text("devices:\n- {name: desk, gflops: 3, mbit_per_s: 8}\n")
    owner = owner_of(
        context(client_id=0, data_folder="/data", device_profile=f"{tmp_path / 'mine.yaml'}:desk")
    )
    assert (owner.device().gflops, owner.device().mbit_per_s) == (3, 8)


def test_an_unknown_device_profile_is_named():
    owner = owner_of(context(client_id=0, data_folder="/data", device_profile="paper:d9"))
    with pytest.raises(
        ValueError, match="device-profile: 'd9' is not one of d1, d2, d3, d4, d5, d6, d7 in paper"
    ):
        owner.device()


@pytest.fixture
def owner(tmp_path):
    write_domains(tmp_path)
    return owner_of(context(client_id=0, data_folder=str(tmp_path / "digits")))


def test_an_owner_loads_its_own_images(owner, tmp_path):
    spec = model_spec_of(small_run(tmp_path, tmp_path))
    domain = owner.domain(spec)
    assert (len(domain.train), len(domain.test)) == (60, 20)
    assert owner.domain(spec) is domain


def test_a_folder_without_images_is_named_in_the_owners_log(tmp_path, caplog):
    owner = owner_of(context(client_id=0, data_folder=str(tmp_path / "nothing")))
    with pytest.raises(
        OwnFilesError, match=r"^client 0: its images .* nothing is where they should be; [^/]*$"
    ):
        owner.domain(model_spec_of(small_run(tmp_path, tmp_path)))
    assert str(tmp_path / "nothing") in caplog.messages[-1]


def test_an_owner_that_lacks_the_last_classes_may_take_part(tmp_path):
    """Its labels end at 2, the networks have ten classes."""
    write_domains(tmp_path, classes=3)
    owner = owner_of(context(client_id=0, data_folder=str(tmp_path / "digits")))
    assert owner.domain(model_spec_of(small_run(tmp_path, tmp_path))).classes == 10


@pytest.mark.parametrize("form", ["pictures", "npz", "table"])
def test_an_owner_has_its_images_in_any_format(form, tmp_path):
    images, names = some(6, size=28), ",".join("abcdefghij")
    place = {
        "pictures": lambda: write_pictures(tmp_path / "mine", images),
        "npz": lambda: write_npz(tmp_path / "mine.npz", train=images),
        "table": lambda: write_table(tmp_path / "mine.csv", images),
    }[form]()
    owner = owner_of(context(client_id=0, data_folder=str(place), class_names=names))
    domain = owner.domain(model_spec_of(small_run(tmp_path, tmp_path)))
    assert sorted(domain.train.labels.tolist()) == [0, 0, 1, 1, 2, 2]
    assert (len(domain.test), domain.classes, domain.class_names) == (0, 10, tuple("abcdefghij"))


def test_a_data_folder_may_be_a_data_set_on_the_hub(tmp_path, monkeypatch, caplog):
    datasets, asked = pytest.importorskip("datasets"), []

    def load(*named):
        asked.append(named)
        return datasets.DatasetDict({"train": huggingface(some(6, size=28))})

    monkeypatch.setattr(datasets, "load_dataset", load)
    given = {"client_id": 0, "data_folder": "hub:somebody/letters:small"}
    with pytest.raises(
        ValueError, match=r"data-folder is hub:somebody/letters:small.* give state-folder too"
    ):
        owner_of(context(**given))
    owner = owner_of(context(**given, state_folder=str(tmp_path / "state")))
    domain = owner.domain(model_spec_of(small_run(tmp_path, tmp_path)))
    assert asked[0] == ("somebody/letters", "small")
    assert sorted(domain.train.labels.tolist()) == [0, 0, 1, 1, 2, 2]

    def refuse(*named):
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    elsewhere = owner_of(context(**given, state_folder=str(tmp_path / "other")))
    with pytest.raises(OwnFilesError, match=r"since they cannot be loaded, or are in no known form; [^/]*$"):
        elsewhere.domain(model_spec_of(small_run(tmp_path, tmp_path)))
    assert "no route" in caplog.messages[-1]


def test_an_owner_of_pictures_says_the_names_of_all_classes(tmp_path, caplog):
    write_pictures(tmp_path / "mine", some(6))
    spec = model_spec_of(small_run(tmp_path, tmp_path))
    with pytest.raises(OwnFilesError, match=OF_OTHER_CLASSES):
        owner_of(context(client_id=0, data_folder=str(tmp_path / "mine"))).domain(spec)
    assert re.search(r"3 classes \(a, b, c\), but there are 10.*class-names", caplog.messages[-1])
    few = owner_of(context(client_id=0, data_folder=str(tmp_path / "mine"), class_names="a, b, c"))
    with pytest.raises(OwnFilesError, match=OF_OTHER_CLASSES):
        few.domain(spec)
    assert "class-names has 3 names, but the networks have 10 classes" in caplog.messages[-1]


def test_labels_of_an_owner_may_count_from_one(tmp_path, caplog):
    images = some(20, classes=10, size=28)
    place = write_npz(tmp_path / "x.npz", train=LabelledImages(images.images, images.labels + 1))
    spec = model_spec_of(small_run(tmp_path, tmp_path))
    with pytest.raises(OwnFilesError, match=OF_OTHER_CLASSES):
        owner_of(context(client_id=0, data_folder=str(place))).domain(spec)
    assert re.search(r"labels begin at 1.*first-label=1", caplog.messages[-1])
    counted = owner_of(context(client_id=0, data_folder=str(place), first_label=1))
    assert same(counted.domain(spec).train, images)


def same(left, right):
    return torch.equal(left.images, right.images) and torch.equal(left.labels, right.labels)


def test_an_owner_has_its_images_and_holds_out_none_unless_told(owner, tmp_path):
    config = small_run(tmp_path, tmp_path)
    data, domain = owner.data(config), owner.domain(model_spec_of(config))
    assert data.train is domain.train
    assert len(data.held_out) == 0
    assert data.test is domain.test
    assert data.domain is domain


def test_an_owner_holds_out_what_a_virtual_client_of_its_id_would(tmp_path):
    config = small_run(write_domains(tmp_path), tmp_path, **{"data.held_out": 0.3})
    population = population_of(config, model_spec_of(config))
    for client in range(4):
        folder = tmp_path / f"client-{client}"
        virtual = population.data_of(client)
        write_idx_folder(folder, population.held_by(client), virtual.test)
        data = owner_of(context(client_id=client, data_folder=str(folder))).data(config)
        assert len(data.held_out) == 9
        assert same(data.train, virtual.train)
        assert same(data.held_out, virtual.held_out)


@pytest.fixture
def owner_without_test(owner):
    for path in owner.data_folder.glob("t10k-*"):
        path.unlink()
    return owner


def test_an_owner_may_have_no_test_images(owner_without_test, tmp_path):
    data = owner_without_test.data(small_run(tmp_path, tmp_path))
    assert len(data.train) == 60
    assert data.test.images.shape == (0, 1, 28, 28)


def judged(owner, config):
    """What an owner says of a generator that nobody has trained."""
    generator = build_network(model_spec_of(config), "generator").states()
    return owner.judge(config, method_named(config.method), flatten_blocks(generator))


@pytest.mark.parametrize("method", ["huscf", "fedgan"])
def test_an_owner_judges_on_its_own_test_images_and_keeps_its_judge(owner, tmp_path, method):
    config = resolved(small_run(tmp_path, tmp_path, method=method))
    scores, samples = judged(owner, config)
    assert samples == 20
    assert set(scores) == {"tstr_accuracy", "tstr_f1"}
    assert judged(owner, config) == (scores, samples)
    assert {path.relative_to(tmp_path).parts[0] for path in Path(tmp_path).rglob("*judge*")} <= {
        "digits-state"
    }


def test_without_test_images_an_owner_knows_nothing_of_a_product(owner_without_test, tmp_path):
    assert judged(owner_without_test, resolved(small_run(tmp_path, tmp_path))) == ({}, 0)


def test_what_cannot_be_known_is_left_out(owner, tmp_path):
    config = resolved(small_run(tmp_path, tmp_path, **{"evaluation.synthetic_images": 0}))
    assert judged(owner, config)[0] == {}


def test_root_certificates_are_read_where_the_node_config_names_them(tmp_path):
    (tmp_path / "ca.crt").write_bytes(b"PEM")
    assert root_certificates_of(context()) is None
    assert root_certificates_of(context(root_certificates=str(tmp_path / "ca.crt"))) == b"PEM"
    with pytest.raises(ValueError, match=r"node config: root-certificates: .*nowhere cannot be read"):
        root_certificates_of(context(root_certificates=str(tmp_path / "nowhere")))
    with pytest.raises(ValueError, match=r"root-certificates: ~nosuch/ca.crt cannot be read"):
        root_certificates_of(context(root_certificates="~nosuch/ca.crt"))


def test_an_owner_has_the_architecture_of_its_node_config_and_else_what_the_run_says(tmp_path):
    config = small_run(tmp_path, tmp_path)
    given = {"client_id": 3, "data_folder": str(tmp_path)}
    assert owner_of(context(**given)).own_settings(config) == config
    own = owner_of(context(**given, architecture=1)).own_settings(config)
    assert own.classifier.member == 1
    chosen, dealt = (classifier_of(each, 3) for each in (own, config))
    alone = config.model_copy(update={"classifier": config.classifier.model_copy(update={"member": 1})})
    assert sum(p.numel() for p in chosen.parameters()) != sum(p.numel() for p in dealt.parameters())
    assert torch.equal(chosen.head.weight, classifier_of(alone, 3).head.weight)


def test_of_a_file_that_cannot_be_written_the_server_learns_no_name(tmp_path, caplog):
    (tmp_path / "state").write_text("a file where a folder should be")
    for client, told in ((3, "client 3: a file on its device"), (None, str(tmp_path))):
        with pytest.raises((OwnFilesError, OSError)) as caught, own_files_told(client):
            (tmp_path / "state" / "x").write_text("kept")
        assert told in str(caught.value)
        assert (str(tmp_path) in str(caught.value)) == (client is None)
    assert str(tmp_path / "state") in caplog.messages[-1]
