"""What an attacker gets of digits whose activations crossed clipped or with noise.

``python -m tests.privacy.noise_table`` prints it.

A head of one block with its initial weights, a quarter wide, and a batch of 32 images; a minute or two on a
core that does nothing else.
"""

from huscf_flwr.data import normalise
from huscf_flwr.data.digits import make_digits
from huscf_flwr.privacy.attacks.inversion import invert_head
from huscf_flwr.privacy.attacks.prior import GaussianPrior, Noisy
from huscf_flwr.privacy.scoring import nearness
from huscf_flwr.split import obfuscation
from tests.privacy.attacks.heads import head, output, shape_of_images


def main(count=32):
    train, public = make_digits()
    prior = GaussianPrior.of(normalise(public.images))
    images, labels = normalise(train.images[:count]), train.labels[:count]
    mean = normalise(train.images).mean(0, keepdim=True).expand_as(images)
    print(f"mean image {nearness(mean, images).psnr:.1f} dB")
    outputs = output(head(), images, labels)
    ways = [(None, spreads) for spreads in (0.1, 0.5, 1.0, 2.0, 8.0)]
    for clip, spreads in (*ways, (0.5, 0.0), (0.1, 0.0), (0.5, 1.0)):
        obscure = obfuscation(clip, spreads)
        assert obscure is not None
        seen = obscure(outputs)
        likeliest = invert_head(head(), seen, shape_of_images(), noisy=Noisy(spreads, prior, clip))
        closed = invert_head(head(), seen, shape_of_images())
        near = nearness(likeliest.images, images)
        right = (likeliest.labels == labels).float().mean()
        print(
            f"clip {clip or 'none'}, noise {spreads:g}: {near.psnr:.1f} dB, SSIM {near.ssim:.2f}, "
            f"labels {right:.0%}; closed form {nearness(closed.images, images).psnr:.1f} dB",
            flush=True,
        )


if __name__ == "__main__":
    main()
