from rich.console import Console

from huscf_flwr.run.display import RoundOnly, TerminalDisplay, evaluation_line, round_line
from tests.run.builders import SilentDisplay

METRICS = {
    "round": 3,
    "seconds": 12.34,
    "losses": {"discriminator": 1.25, "generator": 0.5},
    "bytes": {"up": {"segments": 1_500_000, "fakes": 500_000}, "down": {"segments": 1_400_000}},
    "facts": {"silhouette": 0.5},
    "scores": {"ari": 1.0},
    "domains": {
        "digits": {"product": "cluster-0", "label_fidelity": 0.987, "generation_score": 9.1, "fid": None},
        "letters": {"product": "cluster-1", "label_fidelity": 0.5},
    },
    "clients": [{"id": 0, "cluster": 0}, {"id": 1, "cluster": 0}, {"id": 2, "cluster": 1}],
}


def test_a_round_is_one_line_with_what_is_worth_watching():
    assert round_line(METRICS, 12) == (
        "round  3/12  |  discriminator 1.250  generator 0.500  |  2 clusters  |  ARI 1.00"
        "  |  12.3 s  |  3.40 MB  |  label fidelity digits 0.987, letters 0.500"
    )


def test_what_is_not_known_is_left_out():
    unknown = {"scores": {"ari": None}, "domains": {}, "clients": METRICS["clients"][:2]}
    line = round_line({**METRICS, **unknown}, 3)
    assert line == "round 3/3  |  discriminator 1.250  generator 0.500  |  1 cluster  |  12.3 s  |  3.40 MB"


def test_a_method_without_clusters_and_judge_has_its_own_losses():
    metrics = {"round": 1, "seconds": 2.0, "losses": {"critic": 0.25}, "bytes": {"up": {}, "down": {}}}
    assert (
        round_line({**metrics, "clients": [{"id": 0}]}, 10)
        == "round  1/10  |  critic 0.250  |  2.0 s  |  0 B"
    )


def test_a_score_that_nobody_registered_is_shown_if_there_is_no_other():
    metrics = {**METRICS, "domains": {"digits": {"product": "global", "crispness": 0.25}}}
    assert round_line(metrics, 3).endswith("  |  crispness digits 0.250")


def test_a_file_gets_the_lines_and_no_bar():
    console = Console(file=None, record=True, width=160, force_terminal=False, quiet=False)
    with console.capture() as captured:
        display = TerminalDisplay(console)
        display.step(1, 5, 40)
        display.round(METRICS, 12)
        display.note("resumed [brackets] as they are")
        display.end({"name": "demo", "rounds": 3, "seconds": 60.0})
    text = captured.get()
    assert "round  3/12" in text
    assert "resumed [brackets] as they are" in text
    assert "demo: 3 rounds" in text
    assert "5/40" not in text


def test_of_a_round_that_is_looked_at_all_is_shown_but_the_end_of_a_run():
    shown = SilentDisplay()
    display = RoundOnly(shown)
    display.step(3, 5, 40)
    display.round(METRICS, 3)
    display.evaluation({"round": 3})
    display.note("resumed")
    display.end({"rounds": 3})
    assert (shown.steps, shown.rounds, shown.evaluations) == ([(3, 5, 40)], [METRICS], [{"round": 3}])
    assert (shown.notes, shown.summaries) == (["resumed"], [])


def test_an_evaluation_is_one_line_with_mean_and_worst():
    spread = {"mean": 0.5, "worst": 0.25, "spread": 0.1}
    line = {"round": 4, "scores": {"held_out": {"accuracy": spread, "loss": spread}}, "clients": [{"id": 0}]}
    assert evaluation_line(line) == (
        "round 4: own models of 1 client  |  held out: accuracy 0.500 (worst 0.250)"
    )
    diverged = {**line, "drop_outs": [{"id": 3, "reason": "not finite"}]}
    assert "  |  1 without scores, such as: not finite  |  " in evaluation_line(diverged)
