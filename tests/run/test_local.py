import json
import shutil

import pytest

from huscf_flwr.data import read_idx, write_idx
from huscf_flwr.run.check import check_run
from huscf_flwr.run.checkpoint import CheckpointError, read_checkpoint
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run import RoundFailedError
from huscf_flwr.run.run_folder import read_metrics, read_progress, read_summary
from tests.run.builders import (
    DOMAINS,
    KEEP_ALL,
    UNJUDGED,
    SilentDisplay,
    assert_close,
    assert_same_run,
    assert_same_to_the_bit,
    kept_files,
    private_tensors,
    repeatable,
    server_tensors,
    small_run,
    write_domains,
)
from tests.run.local_runs import train

SCORES = {
    "label_fidelity",
    "generation_score",
    "fid",
    "tstr_accuracy",
    "tstr_precision",
    "tstr_recall",
    "tstr_f1",
    "tstr_fpr",
    "judge_accuracy",
}


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    """A run of two rounds that was judged after each and at the end."""
    config = small_run(images, tmp_path_factory.mktemp("finished"), **{"huscf.clusters": 2})
    summary, display = train(config)
    return config, summary, display


def test_a_run_leaves_all_its_files(finished):
    config, summary, _ = finished
    found = {str(path.relative_to(config.folder)) for path in config.folder.rglob("*") if path.is_file()}
    products = summary["products"]
    assert found >= {
        "config.yaml",
        "clients.json",
        "cuts.json",
        "metrics.jsonl",
        "summary.json",
        "report.html",
        "checkpoint/server-0002.json",
        "log.jsonl",
        *(f"generators/{product}.safetensors" for product in products),
        *(f"samples/round-002-{product}.png" for product in products),
    }
    kept = kept_files(config.folder / "checkpoint" / "clients")
    assert set(kept) >= {f"client-{client}-round-0002" for client in range(config.clients)}
    assert any(name.startswith("samples/round-001-") for name in found)
    assert read_progress(config.folder) is None
    assert all((config.folder / name).stat().st_size > 0 for name in found)


def test_the_summary_has_what_was_promised(finished):
    config, summary, display = finished
    assert summary == read_summary(config.folder) == display.summaries[0]
    assert (summary["method"], summary["mode"], summary["seed"]) == ("huscf", "corrected", 0)
    assert summary["rounds"] == 2
    assert summary["seconds"] > 0
    assert set(summary["bytes"]) == {"up", "down"}
    assert -1 <= summary["clusters"]["ari"] <= 1
    products = summary["products"]
    assert summary["clusters"]["count"] == len(products) == 2
    assert set(products) == {"cluster-0", "cluster-1"}
    members = [client for product in products.values() for client in product["clients"]]
    assert sorted(members) == list(range(config.clients))
    assert set(summary["domains"]) == set(DOMAINS)
    for scores in summary["domains"].values():
        assert set(scores) == SCORES | {"product"}
        assert None not in scores.values()
        assert scores["product"] in products


def test_every_round_has_a_line(finished):
    config, summary, display = finished
    lines = read_metrics(config.folder)
    assert lines == display.rounds
    assert [line["round"] for line in lines] == [1, 2]
    for line in lines:
        assert line["steps"] == 4  # 30 images a client, 8 a batch
        assert [client["id"] for client in line["clients"]] == list(range(config.clients))
        for network in ("generator", "discriminator"):
            mean = sum(client["losses"][network] for client in line["clients"]) / config.clients
            assert line["losses"][network] == pytest.approx(mean)
        assert sum(client["global_weight"] for client in line["clients"]) == pytest.approx(1)
        assert set(line["facts"]) >= {"silhouette", "bodies"}
        assert set(line["scores"]) == {"ari"}
        for way in ("up", "down"):
            by_client = sum(client["bytes"][way] for client in line["clients"])
            assert by_client == sum(line["bytes"][way].values()) > 0
        assert set(line["domains"]) == set(DOMAINS)
    for way in ("up", "down"):
        assert summary["bytes"][way] == sum(sum(line["bytes"][way].values()) for line in lines)


def test_progress_ends_with_the_last_step_of_each_round(finished):
    *_, display = finished
    assert (1, 4, 4) in display.steps
    assert display.steps[-1] == (2, 4, 4)


def test_cuts_are_written_with_their_devices(finished):
    config, *_ = finished
    cuts = json.loads((config.folder / "cuts.json").read_text())
    assert cuts["solver"] == "greedy"
    assert cuts["latency_s"] > 0
    assert [client["id"] for client in cuts["clients"]] == list(range(config.clients))
    assert all(len(client["cut"]) == 4 and client["device"] for client in cuts["clients"])


def test_a_resumed_run_equals_the_uninterrupted_one_to_the_bit(images, finished, tmp_path):
    whole, *_ = finished
    settings = {"huscf.clusters": 2}
    train(small_run(images, tmp_path, name="half", rounds=1, **settings))
    first_round_took(tmp_path / "half", 5000.0)
    resumed = small_run(images, tmp_path, name="rest", resume=tmp_path / "half", **settings)
    summary, display = train(resumed)

    assert [line["round"] for line in display.rounds] == [2]
    assert any("after round 1" in note for note in display.notes)
    assert summary["rounds"] == 2
    assert_same_run(resumed.folder, whole.folder)
    assert repeatable(read_metrics(resumed.folder)) == repeatable(read_metrics(whole.folder))
    assert summary["domains"] == read_summary(whole.folder)["domains"]
    assert summary["bytes"] == read_summary(whole.folder)["bytes"]
    assert summary["seconds"] > 5000


def first_round_took(folder, seconds):
    """Let it look as if the round had taken so long."""
    (line,) = read_metrics(folder)
    (folder / "metrics.jsonl").write_text(json.dumps({**line, "seconds": seconds}) + "\n")


PARITY = {"mode": "parity", "rounds": 4, **UNJUDGED}


@pytest.fixture(scope="module")
def parity(images, tmp_path_factory):
    """A run of four rounds in parity mode, of which all checkpoints are kept."""
    config = small_run(images, tmp_path_factory.mktemp("parity"), **PARITY, **KEEP_ALL)
    train(config)
    return config.folder


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_resumed_run_in_parity_mode_too(images, tmp_path, parity, stop):
    rest = small_run(images, tmp_path, resume=parity, resume_round=stop, **PARITY)
    train(rest)
    assert_same_run(rest.folder, parity)


PARTED = {"huscf.bodies": "parted", "huscf.clusters": 2, "rounds": 6, **UNJUDGED}


@pytest.fixture(scope="module")
def parted(images, tmp_path_factory):
    """A run whose bodies part, of which all checkpoints are kept: its folder, and what it showed."""
    config = small_run(images, tmp_path_factory.mktemp("parted"), **PARTED, **KEEP_ALL)
    _, display = train(config)
    return config.folder, display


@pytest.mark.slow
@pytest.mark.parametrize("stop", ["before they part", "afterwards"])
def test_bodies_part_in_a_run_which_may_be_resumed(images, tmp_path, parted, stop):
    """Which rounds agree is found out first; then a run goes on right before they part, or after that."""
    whole, display = parted
    bodies = [line["facts"]["bodies"] for line in display.rounds]
    assert sorted(bodies) == bodies
    assert set(bodies) == {1, 2}
    last_shared = bodies.count(1)
    (note,) = (note for note in display.notes if "bodies of its own" in note)
    assert "agree on 2 clusters" in note

    number = last_shared - 1 if stop == "before they part" else last_shared
    rest = small_run(images, tmp_path, resume=whole, resume_round=number, **PARTED)
    train(rest)
    assert_same_run(rest.folder, whole)


FOUR_ROUNDS = {"rounds": 4, "checkpoint.keep_last": 3, **UNJUDGED}


@pytest.fixture(scope="module")
def four_rounds(images, tmp_path_factory):
    """A run that can go back; it is only copied."""
    config = small_run(images, tmp_path_factory.mktemp("whole"), **FOUR_ROUNDS)
    train(config)
    return config.folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["whole", "other"])
def test_a_run_goes_back_to_an_older_round(images, tmp_path, four_rounds, name):
    """In its own folder or another's: what it trains anew is what it had trained."""
    whole = shutil.copytree(four_rounds, tmp_path / "whole")
    back = small_run(images, tmp_path, name=name, resume=whole, resume_round=2, **FOUR_ROUNDS)
    _, display = train(back)
    assert [line["round"] for line in display.rounds] == [3, 4]
    assert_same_to_the_bit(read_checkpoint(back.folder).tensors, read_checkpoint(four_rounds).tensors)
    if name == "whole":
        assert_same_to_the_bit(private_tensors(back.folder), private_tensors(four_rounds))


@pytest.fixture(scope="module")
def first_round(images, tmp_path_factory):
    """A run of one round; it is only copied."""
    config = small_run(images, tmp_path_factory.mktemp("first"), rounds=1, **UNJUDGED)
    train(config)
    return config.folder


@pytest.mark.slow
def test_a_run_whose_clients_have_lost_their_moments_is_not_resumed(images, tmp_path, first_round):
    shutil.copytree(first_round, tmp_path / "small")
    before = (tmp_path / "small" / "metrics.jsonl").read_bytes()
    kept_files(tmp_path / "small" / "checkpoint" / "clients")["client-2-round-0001"].unlink()
    with pytest.raises(CheckpointError, match=r"resume: .*client 2 kept after round 1: .* is missing"):
        train(small_run(images, tmp_path, resume=tmp_path / "small", **{"evaluation.every": 0}))
    assert (tmp_path / "small" / "metrics.jsonl").read_bytes() == before


@pytest.mark.slow
def test_a_run_does_not_go_on_with_images_that_have_changed(tmp_path):
    root = write_domains(tmp_path / "images")
    settings = {"method": "fedgan", **UNJUDGED}
    train(small_run(root, tmp_path, rounds=1, **settings), judged=False)
    rest = small_run(root, tmp_path, resume=tmp_path / "small", **settings)
    check_run(rest)
    shutil.rmtree(root)
    shutil.move(write_domains(tmp_path / "elsewhere"), root)
    check_run(rest)
    (path,) = (root / DOMAINS[0]).glob("train-images*")
    write_idx(path, read_idx(path) ^ 1)
    with pytest.raises(CheckpointError, match="belongs to a run with other images"):
        check_run(rest)


@pytest.mark.slow
def test_the_log_tells_the_rounds_and_how_it_ended(images, tmp_path):
    settings = UNJUDGED
    train(small_run(images, tmp_path, rounds=2, **settings))
    lines = [json.loads(line) for line in (tmp_path / "small" / "log.jsonl").read_text().splitlines()]
    assert {line["run"] for line in lines} == {"small"}
    assert {line["round"] for line in lines} == {None, 1, 2}
    assert any(line["round"] == 1 and line["message"].startswith("round 1/2") for line in lines)
    assert lines[-1]["message"].startswith("finished after")
    with pytest.raises(RoundFailedError):
        train(small_run(images, tmp_path, name="bad", **settings, **{"optimiser.learning_rate": 1e30}))
    last = json.loads((tmp_path / "bad" / "log.jsonl").read_text().splitlines()[-1])
    assert (last["level"], last["round"]) == ("ERROR", 1)
    assert "0 clients are left" in last["message"]


@pytest.mark.slow
def test_a_run_goes_on_in_its_own_folder(images, tmp_path, first_round):
    shutil.copytree(first_round, tmp_path / "small")
    summary, _ = train(small_run(images, tmp_path, rounds=2, resume=tmp_path / "small"))
    assert summary["rounds"] == 2
    assert [line["round"] for line in read_metrics(tmp_path / "small")] == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


@pytest.mark.slow
def test_a_run_that_cannot_be_resumed_leaves_everything_as_it_was(images, tmp_path, first_round):
    shutil.copytree(first_round, tmp_path / "small")
    before = (tmp_path / "small" / "metrics.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match="belongs to another network"):
        train(small_run(images, tmp_path, resume=tmp_path / "small", **{"model.width": 0.06}))
    with pytest.raises(CheckpointError, match="has no checkpoint"):
        train(small_run(images, tmp_path, resume=tmp_path / "nowhere"))
    assert (tmp_path / "small" / "metrics.jsonl").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


@pytest.mark.slow
def test_a_run_of_the_same_name_moves_the_old_one_aside(images, tmp_path, first_round):
    shutil.copytree(first_round, tmp_path / "small")
    train(small_run(images, tmp_path, rounds=1, seed=1, **UNJUDGED))
    assert read_summary(tmp_path / "small")["seed"] == 1
    (aside,) = [path for path in tmp_path.iterdir() if path.name != "small"]
    assert read_summary(aside)["seed"] == 0


@pytest.mark.slow
def test_the_number_of_hosts_changes_nothing(images, tmp_path):
    """As many as clients here; test_all_methods has two."""
    weights = {}
    for hosts in (1, 4):
        settings = {"compute.precision": "float64", **UNJUDGED}
        config = small_run(images, tmp_path, name=f"hosts-{hosts}", **settings)
        train(config, hosts=hosts)
        weights[hosts] = server_tensors(config.folder)
        assert [line["hosts"] for line in read_metrics(config.folder)] == [hosts, hosts]
    assert_close(weights[4], weights[1])


@pytest.mark.slow
def test_another_seed_is_another_run(images, finished, tmp_path):
    config = small_run(images, tmp_path, seed=1, rounds=1, **UNJUDGED)
    train(config)
    assert read_metrics(config.folder)[0]["losses"] != read_metrics(finished[0].folder)[0]["losses"]


@pytest.mark.slow
def test_parity_mode_trains_too(images, tmp_path):
    summary, _ = train(small_run(images, tmp_path, mode="parity", rounds=3))
    assert summary["mode"] == "parity"
    assert summary["clusters"]["count"] == 2


def test_more_hosts_than_clients_are_refused_before_anything_starts(images, tmp_path):
    with pytest.raises(ValueError, match="clients: 4 clients for 5 SuperNodes"):
        train(small_run(images, tmp_path), hosts=5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("classes", [1, 3])
def test_clients_with_few_samples_or_one_class_work(tmp_path, classes):
    """Thirty and ten images a domain, for two clients each: half a batch and less."""
    root = write_domains(tmp_path / "images", classes)
    summary, _ = train(small_run(root, tmp_path, rounds=1, batch_size=32, **{"huscf.clusters": 2}))
    (line,) = read_metrics(tmp_path / "small")
    assert line["steps"] == 1
    assert [client["samples"] for client in line["clients"]] == [3 * classes] * 4
    assert summary["domains"]["digits"]["label_fidelity"] is not None


@pytest.mark.slow
def test_clients_of_different_sizes_work(images, tmp_path):
    shutil.copytree(images, tmp_path / "images")
    scenario = tmp_path / "skewed.yaml"
    scenario.write_text(
        "description: skewed\n"
        f"domains: [{', '.join(DOMAINS)}]\n"
        "labels: {kind: dirichlet, alpha: 0.1, minimum: 1}\n"
        "cap_total: null\n"
    )
    settings = {"data.scenario": scenario, "batch_size": 16, "clients": 6}
    train(small_run(tmp_path / "images", tmp_path, rounds=1, **settings))
    sizes = [client["samples"] for client in read_metrics(tmp_path / "small")[0]["clients"]]
    assert sum(sizes) == 120
    assert min(sizes) < 16 < max(sizes)


def test_a_run_that_is_not_judged_trains_no_judge(images, tmp_path):
    config = small_run(images, tmp_path, rounds=1, **{"data.cache": tmp_path / "cache"})
    summary = train_locally(config, display=SilentDisplay(), judged=False)
    assert summary["domains"] is None
    assert summary["rounds"] == 1
    assert not (tmp_path / "cache" / "judges").exists()
