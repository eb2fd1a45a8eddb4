"""Hosts side by side, in tests where one that waits for ever must fail the test and not stop it."""

import threading
import time

PATIENCE = 300.0


def errors_of(*calls, patience=PATIENCE):
    """Run each call in a thread of its own; return what it raised, or None. No thread may stay."""
    errors = [None] * len(calls)

    def run(place, call):
        try:
            call()
        except BaseException as error:
            errors[place] = error

    threads = [
        threading.Thread(target=run, args=(place, call), daemon=True) for place, call in enumerate(calls)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience)
    assert not any(thread.is_alive() for thread in threads)
    return errors


def wait_until(condition):
    """Wait for what other threads bring about."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
