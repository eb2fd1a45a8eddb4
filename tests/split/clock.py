"""Time that passes only where a test says so."""


class Clock:
    def __init__(self):
        self.now = 100.0
        self.slept = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


class SlowChannel:
    """Answers every frame with another one, after some seconds."""

    def __init__(self, clock, seconds, answers):
        self._clock, self._seconds, self._answers = clock, seconds, answers
        self.sent_at = []

    def exchange(self, exchange, frames):
        self.sent_at.append(self._clock.now)
        self._clock.now += self._seconds
        return self._answers
