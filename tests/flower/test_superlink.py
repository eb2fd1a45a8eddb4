"""What Flower's command line answers, without a SuperLink."""

import subprocess
import sys
import tomllib
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from huscf_flwr.flower import superlink as superlink_module
from huscf_flwr.flower.run_settings import toml_value
from huscf_flwr.flower.superlink import FlowerRunError, flower_environment, private_superlink
from tests.flower.scripted_flwr import scripted_superlink


@pytest.fixture
def superlink(tmp_path, monkeypatch):
    return scripted_superlink(tmp_path, monkeypatch)


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


@pytest.mark.parametrize("status", ["finished:completed", "running"])
def test_a_run_that_cannot_be_stopped_has_ended_or_is_an_error(superlink, tmp_path, status):
    (tmp_path / "answer-stop").write_text('{"success": false, "error-message": "Run 3 is not running."}')
    (tmp_path / "answer-list").write_text(f'{{"success": true, "runs": [{{"status": "{status}"}}]}}')
    assert superlink.status("3") == status
    if status == "running":
        with pytest.raises(FlowerRunError, match=r"flwr stop failed: Run 3 is not running"):
            superlink.stop("3")
    else:
        superlink.stop("3")


@pytest.fixture
def not_started(monkeypatch):
    """Families of SuperLinks that are not started, so that nobody listens at their addresses."""
    trees = []
    monkeypatch.setattr(
        superlink_module, "background_process", lambda command, tree, log: nullcontext(trees.append(tree))
    )
    monkeypatch.setattr(superlink_module, "_wait_until_up", lambda *given: None)
    yield trees
    for tree in trees:
        tree.kill()


def test_flower_starts_no_superlink_of_its_own_where_ours_does_not_answer(not_started, tmp_path):
    with private_superlink(tmp_path) as superlink, pytest.raises(FlowerRunError, match=r"flwr list failed"):
        superlink.flwr("list")
    assert not (tmp_path / "local-superlink").exists()


def test_commands_talk_to_the_superlink_that_is_there_now(not_started, tmp_path):
    """The folder is kept between runs, the port is not; with a certificate, the connection has TLS."""
    authority = tmp_path / "ca.crt"
    for trusted, security in ((None, {"insecure": True}), (authority, {"root-certificates": str(authority)})):
        with private_superlink(tmp_path, trusted=trusted) as superlink:
            found = tomllib.loads((tmp_path / "config.toml").read_text())["superlink"]
        assert found[found["default"]] == {"address": superlink.address, **security}


def test_what_a_command_starts_ends_with_the_superlink(not_started, tmp_path):
    with private_superlink(tmp_path) as superlink:
        assert [superlink.environment] == [tree.environment for tree in not_started]


@pytest.fixture
def dead_proxy(monkeypatch):
    """Whoever asks a proxy gets no answer."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *given):
        pass


@pytest.mark.usefixtures("dead_proxy")
def test_a_superlink_on_this_machine_is_found_past_proxies(tmp_path, monkeypatch):
    monkeypatch.setattr(superlink_module, "_START_SECONDS", 20.0)
    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            address = f"127.0.0.1:{server.server_port}"
            superlink_module._wait_until_up(process, address, tmp_path / "log", None)
            process.kill()
        server.shutdown()


def test_children_reach_this_machine_past_proxies_and_others_as_before(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "intern.example")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    found = flower_environment(tmp_path)
    assert found["no_proxy"] == "intern.example,127.0.0.1,localhost,::1"
    assert found["NO_PROXY"] == "127.0.0.1,localhost,::1"
    assert "no_grpc_proxy" not in found
    monkeypatch.setenv("no_grpc_proxy", "a")
    assert flower_environment(tmp_path)["no_grpc_proxy"] == "a,127.0.0.1,localhost,::1"


@pytest.mark.parametrize("text", ["/a b", "/\U0001f600", '/ä"\\\x7f\x01', "/日本"])
def test_any_path_can_be_said_in_toml(text, tmp_path):
    assert tomllib.loads(f"a = {toml_value(text)}") == {"a": text}
    superlink_module._write_connection(tmp_path, "127.0.0.1:1", Path(text))
    found = tomllib.loads((tmp_path / "config.toml").read_text("utf-8"))
    assert found["superlink"]["private"]["root-certificates"] == text


@pytest.fixture
def silent(superlink, monkeypatch):
    """A SuperLink whose ``flwr`` does not come to an end."""
    command = superlink_module.BIN / "flwr"
    command.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(600)\n")
    monkeypatch.setattr(superlink_module, "_COMMAND_SECONDS", 0.2)
    return superlink


def test_a_command_that_does_not_end_is_given_up(silent):
    with pytest.raises(FlowerRunError, match=r"flwr list failed: no answer within 0 seconds"):
        silent.status("3")


def test_a_log_that_flower_does_not_give_is_a_note(silent):
    assert silent.log_of("3") == (
        "the log of the run is not here: flwr log failed: no answer within 0 seconds\n"
    )


def test_commands_are_out_of_reach_of_a_terminals_ctrl_c(superlink, monkeypatch):
    given = []
    monkeypatch.setattr(
        subprocess,
        "run",
        lambda command, **options: given.append(options) or subprocess.CompletedProcess(command, 0, "{}", ""),
    )
    superlink.status("3")
    superlink.log_of("3")
    assert [options["start_new_session"] for options in given] == [True, True]


def test_where_flowers_commands_are_missing_it_is_said_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setattr(superlink_module, "BIN", tmp_path / "bin")
    with (
        pytest.raises(FlowerRunError, match=r"no .*flower-superlink: Flower must be installed in the env"),
        private_superlink(tmp_path / "home"),
    ):
        pass
