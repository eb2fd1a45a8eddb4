"""What a run does so that less can be learnt of a client's images."""

from __future__ import annotations

from pydantic import NonNegativeFloat

from huscf_flwr.config.sections import Section


class PrivacySection(Section):
    """What a run does so that less can be learnt of a client's images.

    A method lists the settings that it honours in ``Method.privacy``. One that it does not honour is refused
    unless it is at its default: nobody shall believe that it did anything.

    Attributes:
        local_discriminator: every client of HuSCF-GAN keeps the whole discriminator, so that no activation of
            a real image crosses. Needs ``fake_labels: uniform``.
        activation_noise: clients of HuSCF-GAN add normal noise to what the discriminator's head makes of real
            images before it crosses, so many times as wide as these activations spread in a batch. It is
            obfuscation and guarantees nothing. Noise comes from the client and not from the run's seed, which
            the server knows, so that such a run cannot be repeated to the bit.
    """

    local_discriminator: bool = False
    activation_noise: NonNegativeFloat = 0.0
