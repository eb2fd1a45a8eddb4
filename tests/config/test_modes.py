import pytest
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.conf_files import ConfError, find_conf, known_confs, read_yaml
from huscf_flwr.config import (
    CutsSection,
    DataSection,
    RunConfig,
    dump_config,
    from_run_config,
    load_config,
    to_run_config,
)
from huscf_flwr.methods import BUILT_IN, resolved
from tests.config.schema import all_keys, flat

# Complete, and by hand: what runs of the first version had in these sections.
CORRECTED = {
    "cuts.devices": "paper",
    "cuts.solver": "greedy",
    "cuts.fixed": "",
    "cuts.flops": "exact",
    "cuts.dynamic": False,
    "cuts.newest-weight": 0.5,
    "cuts.least-gain": 0.1,
    "cuts.emulate": False,
    "data.scenario": "demo",
    "data.domains": "",
    "data.root": "",
    "data.cache": "/cache",
    "data.fit": "pad",
    "data.id-offset": "corrected",
    "data.exclusion-pattern": "per-domain",
    "data.held-out": 0.0,
    "data.judged-on": "test",
    "huscf.initialisation": "common",
    "huscf.batches": "passes",
    "huscf.feature-window": "first-epoch",
    "huscf.clusters": "found",
    "huscf.evidence": "rounds",
    "huscf.random-state": "seeded",
    "huscf.feature-scaling": "samples",
    "huscf.divergence": "gaussian",
    "huscf.beta": 10.0,
    "huscf.weighting": "kld",
    "huscf.weights-from": "activations",
    "huscf.buffers": "total-variance",
    "huscf.running-statistics": "measured",
    "huscf.bodies": "parted",
    "huscf.plain-rounds": 0,
    "huscf.clusters-in-plain-rounds": True,
    "huscf.judged": "cluster",
}
PARITY = {
    "cuts.devices": "paper",
    "cuts.solver": "greedy",
    "cuts.fixed": "",
    "cuts.flops": "paper",
    "cuts.dynamic": False,
    "cuts.newest-weight": 0.5,
    "cuts.least-gain": 0.1,
    "cuts.emulate": False,
    "data.scenario": "demo",
    "data.domains": "",
    "data.root": "",
    "data.cache": "/cache",
    "data.fit": "pad",
    "data.id-offset": "authors",
    "data.exclusion-pattern": "authors",
    "data.held-out": 0.0,
    "data.judged-on": "test",
    "huscf.initialisation": "per-client",
    "huscf.batches": "fresh-draw",
    "huscf.feature-window": "last-batch",
    "huscf.clusters": "domains",
    "huscf.evidence": "round",
    "huscf.random-state": 42,
    "huscf.feature-scaling": "none",
    "huscf.divergence": "spatial-softmax",
    "huscf.beta": 1.0,
    "huscf.weighting": "kld",
    "huscf.weights-from": "activations",
    "huscf.buffers": "average",
    "huscf.running-statistics": "measured",
    "huscf.bodies": "shared",
    "huscf.plain-rounds": 2,
    "huscf.clusters-in-plain-rounds": False,
    "huscf.judged": "first-client",
}
EXPECTED = {"corrected": CORRECTED, "parity": PARITY}
DIFFERING = sorted(key for key in CORRECTED if CORRECTED[key] != PARITY[key])


def settings_of(mode, said=()):
    return to_run_config(resolved(from_run_config({"mode": mode, "data.cache": "/cache", **dict(said)})))


@pytest.mark.parametrize("mode", known_confs("modes"))
def test_every_key_of_a_mode_exists(mode):
    assert {key.replace("_", "-") for key in flat(read_yaml(find_conf("modes", mode)))} <= all_keys()


@pytest.mark.parametrize("mode", EXPECTED)
def test_what_a_mode_means(mode):
    found = settings_of(mode)
    assert {key: found[key] for key in found if key.startswith(("cuts.", "data.", "huscf."))} == EXPECTED[
        mode
    ]


def test_nothing_else_differs_between_the_modes():
    corrected, parity = settings_of("corrected"), settings_of("parity")
    assert sorted(key for key in corrected if corrected[key] != parity[key]) == sorted(["mode", *DIFFERING])


@pytest.mark.parametrize("mode", EXPECTED)
@given(said=st.sets(st.sampled_from(DIFFERING)))
def test_what_is_said_wins_over_the_mode_and_changes_nothing_else(mode, said):
    (other,) = EXPECTED.keys() - {mode}
    words = {key: EXPECTED[other][key] for key in said}
    assert settings_of(mode, words) == {**settings_of(mode), **words}


def test_zero_is_said():
    zeros = {"huscf.beta": 0.0, "huscf.plain-rounds": 0, "evaluation.every": 0}
    assert settings_of("parity", zeros) == {**settings_of("parity"), **zeros}


@pytest.mark.parametrize("method", BUILT_IN)
def test_a_mode_may_speak_of_other_methods(method):
    assert resolved(RunConfig(mode="parity", method=method)).sections.keys() == {method}


def test_a_mode_is_beneath_every_way_of_construction(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("mode: parity")
    configs = [
        RunConfig(mode="parity"),
        RunConfig.model_validate({"mode": "parity"}),
        load_config(str(path)),
        load_config("demo", ["mode=parity"]),
        from_run_config({"mode": "parity"}),
    ]
    for config in configs:
        assert config.cuts.flops == "paper"
        assert config.data.id_offset == "authors"
        assert config.sections["huscf"]["clusters"] == "domains"


def test_a_section_as_an_object_says_what_it_was_given():
    config = RunConfig(
        mode="parity", cuts=CutsSection(flops="exact"), data=DataSection(id_offset="corrected", scenario="5")
    )
    assert config.cuts.flops == "exact"
    assert (config.data.id_offset, config.data.exclusion_pattern) == ("corrected", "authors")
    assert config.data.scenario == "5"


def test_a_mode_of_ones_own(tmp_path):
    path = tmp_path / "half.yaml"
    path.write_text("rounds: 3\nmodel: {width: 0.5}\ncuts: {solver: exact}\nhuscf: {bodies: shared}\n")
    config = resolved(load_config("demo", [f"mode={path}"]))
    found = to_run_config(config)
    plain = to_run_config(resolved(load_config("demo")))
    differing = {key: value for key, value in found.items() if value != plain[key]}
    assert differing == {"mode": "half", "cuts.solver": "exact", "huscf.bodies": "shared"}
    bare = from_run_config({"mode": str(path)})
    assert (bare.rounds, bare.model.width) == (3, 0.5)


def test_what_is_resolved_needs_the_modes_file_no_more(tmp_path):
    """What was cleared stays so, too: in Flower's run config that looks like not set."""
    path = tmp_path / "half.yaml"
    path.write_text("wire: {preset: half}\ncuts: {solver: exact}\nhuscf: {bodies: shared}\n")
    config = resolved(load_config("demo", [f"mode={path}", "wire.preset=exact"]))
    written = tmp_path / "config.yaml"
    written.write_text(dump_config(config))
    for there_is_a_file in (True, False):
        assert path.exists() is there_is_a_file
        assert resolved(from_run_config(to_run_config(config))) == config
        assert resolved(load_config(str(written))) == config
        path.unlink(missing_ok=True)
    assert (config.mode, config.cuts.solver, config.wire.preset) == ("half", "exact", "exact")
    assert config.sections["huscf"].bodies == "shared"


def test_a_file_is_no_known_mode_for_having_its_name(tmp_path):
    path = tmp_path / "parity.yaml"
    path.write_text("cuts: {solver: exact}")
    config = resolved(load_config("demo", [f"mode={path}"]))
    assert resolved(from_run_config(to_run_config(config))) == config
    assert config.cuts.flops == "exact"


def test_a_mode_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("rounds: [")
    with pytest.raises(ConfError, match=r"'mode' is .*broken\.yaml.*cannot be read as YAML"):
        load_config("demo", [f"mode={path}"])


def test_an_unknown_key_of_a_mode_is_named(tmp_path):
    path = tmp_path / "half.yaml"
    path.write_text("cuts: {flopps: exact}")
    with pytest.raises(ConfError, match=r"unknown key 'cuts\.flopps' \(did you mean 'cuts\.flops'\?\)"):
        load_config("demo", [f"mode={path}"])
