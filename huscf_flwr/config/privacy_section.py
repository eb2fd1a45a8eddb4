"""What a run does so that less can be learnt of a client's images."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from huscf_flwr.config.sections import Section

PRIVACY_NEEDS = {
    "local_discriminator": "take method huscf",
    "min_observed": "take method huscf with privacy.local_discriminator: true",
    "detect_tampering": "take method huscf",
    "epsilon": "take method huscf with privacy.local_discriminator: true",
    **dict.fromkeys(("delta", "noise", "critic"), "set privacy.epsilon too"),
    **dict.fromkeys(
        ("clip", "discriminator_steps", "sample"),
        "set privacy.epsilon too, with privacy.critic: discriminator",
    ),
    "features": "set privacy.epsilon too, with privacy.critic: embedding",
}
"""What makes a method honour a setting of privacy, where none does with the other settings as they are."""

OF_ACTIVATIONS = {"activation_clip": "scale down", "activation_noise": "add noise to"}
"""Settings that do something to activations of real images, and what.

No method honours them only where a local discriminator keeps all of these back.
"""

LEAST_OBSERVED = 100
"""Images over which statistics of activations are told, if nothing else is said."""


class PrivacySection(Section):
    """What a run does so that less can be learnt of a client's images.

    A setting that the method does not honour is refused unless it is at its default: nobody shall believe
    that it did anything.

    Attributes:
        local_discriminator: every client of HuSCF-GAN keeps the whole discriminator, so that no activation of
            a real image crosses. Needs ``fake_labels: uniform`` or ``own-mix``.
        min_observed: least number of its images over which a client with a local discriminator tells
            statistics of its activations; of two images they give both away. Whatever the server orders, a
            client with fewer images leaves each round before anything crosses, and so does one that is told
            to look at less than a whole pass over its images. The default has several times as many pixels
            as the statistics of one round have numbers. It is no formal guarantee: not against a server that
            sends blocks which pass one of these images only, nor one that puts together what it is told in
            many rounds: take 15 images for each round at least (docs/privacy.md).
        activation_clip: clients of HuSCF-GAN scale what the discriminator's head makes of each real image
            down to this root mean square before it crosses; the demo's have 0.6 to 0.8. It is obfuscation and
            guarantees nothing.
        activation_noise: clients of HuSCF-GAN add normal noise to what the discriminator's head makes of real
            images before it crosses, so many times as wide as these activations spread in a batch. It is
            obfuscation and guarantees nothing. Noise comes from the client and not from the run's seed, which
            the server knows, so that such a run cannot be repeated to the bit.
        detect_tampering: each client of HuSCF-GAN looks at what the server sends it, and leaves a round, with
            the reason, where it is not what an honest server would send. That is so where blocks are much
            farther from what it uploaded last than its own training moves them in a round, or where gradients
            of eight steps of 25 are not widened and turned as an honest discriminator's body does. It finds a
            server that sends blocks made to copy images, before anything of an image crosses. It guarantees
            nothing: not against a server that follows the protocol and is curious, not in a client's first
            round, and not against one that knows the bounds and keeps within them (docs/privacy.md). The
            client keeps a second copy of its blocks in its folder, and a GPU does not replay its steps, so
            that they take longer.
        epsilon: each client of HuSCF-GAN learns from its images with differential privacy, and leaves a
            training before more than this is spent of the privacy of its images, at ``delta``. The unit is
            the content of one labelled image of one client, or nothing in its place, in all trainings with an
            epsilon that it has had on its device (others have no noise, and are not counted); the adversary
            is everybody, and sees all that crosses. How many images a client has, its device and the times
            that it takes are not protected. Needs ``local_discriminator``, ``huscf.clusters: 1`` and
            ``huscf.weighting: samples``, and the extra ``privacy``: ``pip install 'huscf-flwr[privacy]'``.
        delta: probability that the guarantee of ``epsilon`` fails; less than one in the number of images.
        critic: what tells the generator what is wrong with its images. ``discriminator``: one that learns
            from the client's images with noise in every step (DP-SGD). ``embedding``: means of random
            features of the client's images of each label, with noise, which the client makes once before its
            first step (DP-MERF, arXiv 2002.11603); discriminators stay as they began. Where images are few it
            is far better: all of epsilon goes into one release, and steps cost nothing. A client whose round
            with that release fails cannot try it again with secret noise: its epsilon is spent.
        features: number of random features with ``critic: embedding``, a multiple of four. Noise costs
            nothing more with more of them.
        clip: the gradient of each real image's loss is scaled down to this norm before noise is added, and
            so is that of the fakes' mean loss, so that neither outweighs the other.
        discriminator_steps: steps of the discriminator in each of the generator, each on a sample of the
            images of its own. They all count.
        sample: images that take part in a step of the discriminator, on average; by default ``batch_size``,
            which is then the number of fakes only. The larger, the less noise there is in a step for the same
            epsilon, and the longer it takes. A client with fewer images has all of them in every step.
        noise: where the noise of ``epsilon`` comes from. ``secret``: from a key that the client draws and
            that nobody else ever has, new for each round. ``seeded``: from the run's seed, so that a
            simulation can be repeated. The server knows the seed, so such a run protects nothing: it shows
            what one with secret noise would give. A SuperNode that owns its images refuses it.
        min_cluster: least number of clients of HuSCF-GAN whose blocks are averaged. Of an average of two each
            learns the other's model by subtraction. Smaller clusters join the nearest that is large enough,
            or all are one; a cluster of which fewer are in a round keeps the blocks that it had before. So no
            client is sent an average of fewer clients' blocks. It does not guard against the server, which
            gets every client's blocks; nor against clients who put together what they know, one less than
            this; nor against what comparing rounds shows. Needs at least as many ``min_clients``.
        send_losses: clients tell the server the mean losses of their training, which say how well a model
            fits their images. ``false``: they stay on the client, with every method, and nobody is shown any;
            whether a loss is finite is told all the same, since the client drops out if not. Scores of models
            are something else, and cross as the method lists them.
        count_step: clients of FedGAN and HFL-GAN round the number of their images to a multiple of this, at
            least to one, before anybody is told; weights and batches of a round follow it, since networks
            that are sent count the batches that they have seen. The server and other clients then know the
            number no better, but for what the networks themselves have learnt of the images. Where a
            device judges a product it tells the number of its test images as it is. Other methods refuse
            this: HuSCF-GAN's server sees the sizes of batches, others are told counts of labels.
    """

    local_discriminator: bool = False
    min_observed: PositiveInt = LEAST_OBSERVED
    activation_clip: PositiveFloat | None = None
    activation_noise: NonNegativeFloat = 0.0
    detect_tampering: bool = False
    epsilon: PositiveFloat | None = None
    delta: float = Field(default=1e-5, gt=0, lt=1)
    clip: PositiveFloat = 1.0
    discriminator_steps: PositiveInt = 1
    sample: PositiveInt | None = None
    critic: Literal["discriminator", "embedding"] = "discriminator"
    features: PositiveInt = 2000
    noise: Literal["secret", "seeded"] = "secret"
    min_cluster: PositiveInt = 1
    send_losses: bool = True
    count_step: PositiveInt = 1

    @property
    def bounds_each_image(self) -> bool:
        """Whether an epsilon bounds what is told of one image: noise from the seed is none to a server."""
        return self.epsilon is not None and self.noise == "secret"
