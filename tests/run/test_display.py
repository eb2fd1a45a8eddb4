from rich.console import Console

from huscf_flwr.run.display import TerminalDisplay, round_line

METRICS = {
    "round": 3,
    "seconds": 12.34,
    "losses": {"discriminator": 1.25, "generator": 0.5},
    "clusters": [0, 0, 1],
    "ari": 1.0,
    "bytes": {"up": 2_000_000, "down": 1_400_000},
    "domains": {"digits": {"label_fidelity": 0.987}},
}


def test_a_round_is_one_line_with_losses_clusters_seconds_and_bytes():
    assert round_line(METRICS, 12) == (
        "round  3/12  |  D 1.250  G 0.500  |  2 clusters  |  ARI 1.00  |  12.3 s  |  3 MB  |  digits 0.99"
    )


def test_what_is_not_known_is_left_out():
    line = round_line({**METRICS, "ari": None, "clusters": [0, 0], "domains": {}}, 3)
    assert line == "round 3/3  |  D 1.250  G 0.500  |  1 cluster  |  12.3 s  |  3 MB"


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
