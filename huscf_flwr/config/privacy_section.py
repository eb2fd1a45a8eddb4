"""What a run does so that less can be learnt of a client's images."""

from __future__ import annotations

from huscf_flwr.config.sections import Section


class PrivacySection(Section):
    """What a run does so that less can be learnt of a client's images.

    A method lists the settings that it honours in ``Method.privacy``. One that it does not honour is refused
    unless it is at its default: nobody shall believe that it did anything.

    Attributes:
        local_discriminator: every client of HuSCF-GAN keeps the whole discriminator, so that no activation of
            a real image crosses. Needs ``fake_labels: uniform``.
    """

    local_discriminator: bool = False
