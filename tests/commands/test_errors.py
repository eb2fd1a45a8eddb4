import subprocess

import pytest
import typer

from huscf_flwr.commands.errors import errors_as_messages


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("rounds is 0"), "error: rounds is 0"),
        (RuntimeError(), "error: RuntimeError"),
        (subprocess.TimeoutExpired("flwr list", 3), "error: Command 'flwr list' timed out after 3 seconds"),
        (subprocess.CalledProcessError(1, "flwr"), "error: Command 'flwr' returned non-zero exit status 1."),
    ],
)
def test_what_a_user_can_act_on_is_a_message(capsys, error, message):
    with pytest.raises(typer.Exit) as ended, errors_as_messages():
        raise error
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err == f"{message}\n"


def test_a_mistake_of_ours_keeps_its_traceback():
    with pytest.raises(AssertionError), errors_as_messages():
        raise AssertionError
