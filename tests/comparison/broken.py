"""A method that fails in its first round."""

from typing import ClassVar

from huscf_flwr.methods.fedgan import FedGAN, FedGANSettings


class Settings(FedGANSettings):
    section: ClassVar = "broken"


class Broken(FedGAN):
    name: ClassVar = "broken"
    Settings: ClassVar = Settings

    def close_round(self, number, collected):
        raise RuntimeError("broken on purpose")
