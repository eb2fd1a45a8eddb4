"""Rounds of clients with given images."""

from huscf_flwr.methods import method_of, resolved
from tests.run.builders import DEVICE, Training


class GivenImages(Training):
    """The rounds of the configured method, whose clients, with ``images`` by id, describe themselves."""

    def __init__(self, config, images):
        self.images = images
        config = resolved(config)
        method = method_of(config)
        clients = {k: method.client(k, own, DEVICE, config) for k, own in images.items()}
        super().__init__(method(config, {k: client.describe() for k, client in clients.items()}))

    def make_client(self, client):
        return type(self.method).client(client, self.images[client], DEVICE, self.config)
