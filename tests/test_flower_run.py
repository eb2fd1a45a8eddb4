"""What Flower's command line answers, without a SuperLink."""

import sys

import pytest

from huscf_flwr import flower_run
from huscf_flwr.flower_run import FlowerRunError, PrivateSuperLink, flower_environment


@pytest.fixture
def superlink(tmp_path, monkeypatch):
    """A SuperLink whose ``flwr`` prints the content of a file."""
    monkeypatch.setattr(flower_run, "BIN", tmp_path)
    command = tmp_path / "flwr"
    command.write_text(f"#!{sys.executable}\nprint(open({str(tmp_path / 'answer')!r}).read())\n")
    command.chmod(0o755)
    return PrivateSuperLink(tmp_path, flower_environment(tmp_path), "127.0.0.1:1", tmp_path / "log")


def test_an_answer_is_found_among_other_words(superlink, tmp_path):
    (tmp_path / "answer").write_text('Using SuperLink: x\n{"success": true, "node-id": 3}')
    assert superlink.flwr("supernode", "register", "key.pub") == {"success": True, "node-id": 3}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("no such command", "flwr supernode failed: no such command"),
        (
            '{"success": false, "error-message": "Public key already in use."}',
            "flwr supernode failed: Public key already in use",
        ),
    ],
)
def test_a_failure_is_told_in_flowers_words(superlink, tmp_path, answer, message):
    (tmp_path / "answer").write_text(answer)
    with pytest.raises(FlowerRunError, match=message):
        superlink.flwr("supernode", "register", "key.pub")
