"""A discrete-event simulation of one step, written without the equations of the latency model.

Clients, their links and the server are processes that wait for each other. A pass of one network goes from
all heads through the server to all tails (or back), and the next pass starts when everyone is through.
"""

import heapq
from itertools import count


class Clock:
    """Runs callbacks in the order of their times."""

    def __init__(self):
        self.now = 0.0
        self._events = []
        self._ticket = count()

    def after(self, seconds, callback):
        heapq.heappush(self._events, (self.now + seconds, next(self._ticket), callback))

    def run(self):
        while self._events:
            self.now, _, callback = heapq.heappop(self._events)
            callback()
        return self.now


class OnePass:
    """One direction of one network: enter at one end of the client, server blocks in order, other end."""

    def __init__(self, blocks, enter, leave, server_seconds):
        """Take the server's blocks in order, and by client what it does before and after them.

        ``enter`` and ``leave`` map a client to (first block or first block not on the server, seconds).
        """
        self.clock = Clock()
        self.blocks = blocks
        self.enter = enter
        self.leave = leave
        self.server_seconds = server_seconds
        self.arrived = set()
        self.position = 0

    def run(self):
        for client, (_, seconds) in self.enter.items():
            self.clock.after(seconds, lambda client=client: self._arrive(client))
        return self.clock.run()

    def _arrive(self, client):
        self.arrived.add(client)
        if not self._busy:
            self._try_block()

    _busy = False

    def _members(self, block):
        place = self.blocks.index(block)
        return {
            client
            for client in self.enter
            if self.blocks.index(self.enter[client][0]) <= place < self._end(client)
        }

    def _end(self, client):
        stop = self.leave[client][0]
        return self.blocks.index(stop) if stop in self.blocks else len(self.blocks)

    def _try_block(self):
        if self.position == len(self.blocks):
            return
        block = self.blocks[self.position]
        members = self._members(block)
        if not members <= self.arrived:
            return
        self._busy = True
        self.clock.after(len(members) * self.server_seconds[block], lambda: self._finish(members))

    def _finish(self, members):
        self._busy = False
        self.position += 1
        for client in members:
            if self._end(client) == self.position:
                self.clock.after(self.leave[client][1], lambda: None)
        self._try_block()


def simulate_step(problem, cuts):
    """Return the seconds of one step of ``problem`` if its clients have ``cuts``."""
    return sum(
        _simulate_pass(problem, cuts, network, direction)
        for network in ("generator", "discriminator")
        for direction in ("forward", "backward")
    )


def _simulate_pass(problem, cuts, network, direction):
    costs = problem.costs.network(network)
    total = len(problem.spec.network(network).blocks)
    client_gflop = getattr(costs, f"client_{direction}_gflop")
    server_gflop = getattr(costs, f"server_{direction}_gflop")
    crossing, packed = getattr(costs, f"{direction}_bytes"), costs.packed_numbers
    enter, leave = {}, {}
    for client, (device, cut) in enumerate(zip(problem.devices, cuts, strict=True)):
        head = list(range(cut.head(network)))
        tail = list(range(total - cut.tail(network), total))
        up, down = _rates(problem, device)
        packing = device.packing_s + len(problem.devices) * problem.server.packing_s
        first, last = (head, tail) if direction == "forward" else (tail, head)
        into = head[-1] if direction == "forward" else tail[0] - 1
        out_of = tail[0] - 1 if direction == "forward" else head[-1]
        step = 1 if direction == "forward" else -1
        delay = device.delay_ms / 1e3 * (1 if network == "generator" else 2)
        compute = delay + sum(client_gflop[block] for block in first) / device.gflops
        enter[client] = (
            (max(first) if step == 1 else min(first)) + step,
            compute + packing * packed[into] + crossing[into] / up,
        )
        compute = sum(client_gflop[block] for block in last) / device.gflops
        arrives = delay + packing * packed[out_of] + crossing[out_of] / down
        leave[client] = (min(last) if step == 1 else max(last), arrives + compute)
    blocks = list(range(1, total - 1))[:: 1 if direction == "forward" else -1]
    seconds = {block: server_gflop[block] / problem.server.gflops for block in blocks}
    return OnePass(blocks, enter, leave, seconds).run()


def _rates(problem, device):
    """Bytes per second up and down."""
    server = problem.server.mbit_per_s * 125_000
    up = device.mbit_per_s * 125_000
    down = float("inf") if device.download_mbit_per_s is None else device.download_mbit_per_s * 125_000
    if problem.options.server_link_shared:
        share = server / len(problem.devices)
        return min(up, share), min(down, share)
    return up, min(down, server)
