"""Time that passes only where a test says so."""

from huscf_flwr.split import EXCHANGES


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
    """Answers all clients that sent something with the same frame, after some seconds."""

    exchanges = EXCHANGES

    def __init__(self, clock, seconds, answer=()):
        self._clock, self._seconds, self._answer = clock, seconds, answer
        self._sent, self.answered = [], []
        self.sent_at = []

    def send(self, exchange, client, parcel):
        self.sent_at.append(self._clock.now)
        self._sent.append(client)

    def receive(self, exchange):
        if not self.answered:
            self._clock.now += self._seconds
            self.answered, self._sent = self._sent, []
        return self.answered.pop(0), self._answer
