"""What an attacker gets of digits whose activations crossed clipped or with noise.

``python -m tests.privacy.obscured_table`` prints it.

Heads with their initial weights and traps of their shape, a quarter wide, and a batch of 32 images; a few
minutes on a core that does nothing else.
"""

from huscf_flwr.data import normalise
from huscf_flwr.data.digits import make_digits
from huscf_flwr.privacy.active_server import set_up
from huscf_flwr.privacy.attacks.closed_form import has_closed_form
from huscf_flwr.privacy.attacks.inversion import invert_head
from huscf_flwr.privacy.attacks.prior import GaussianPrior, Obscured
from huscf_flwr.privacy.scoring import nearness
from huscf_flwr.split import obfuscation
from tests.privacy.attacks.heads import head, output, shape_of_images


def main(count=32):
    train, public = make_digits()
    prior = GaussianPrior.of(normalise(public.images))
    images, labels = normalise(train.images[:count]), train.labels[:count]
    mean = normalise(train.images).mean(0, keepdim=True).expand_as(images)
    print(f"mean image {nearness(mean, images).psnr:.1f} dB")

    def told(name, blocks, clip, spreads):
        obscure = obfuscation(clip, spreads)
        assert obscure is not None
        seen = obscure(output(blocks, images, labels))
        likeliest = invert_head(blocks, seen, shape_of_images(), obscured=Obscured(spreads, prior, clip))
        near = nearness(likeliest.images, images)
        right = (likeliest.labels == labels).float().mean()
        without = ""
        if has_closed_form(blocks, seen, shape_of_images()):
            closed = invert_head(blocks, seen, shape_of_images())
            without = f"; closed form {nearness(closed.images, images).psnr:.1f} dB"
        print(
            f"{name} of {len(blocks)}, clip {clip or 'none'}, noise {spreads:g}: {near.psnr:.1f} dB, "
            f"SSIM {near.ssim:.2f}, labels {right:.0%}{without}",
            flush=True,
        )

    for spreads in (0.1, 0.5, 1.0, 2.0, 8.0):
        told("head", head(), None, spreads)
    for clip, spreads in ((0.5, 0.0), (0.1, 0.0), (0.5, 1.0)):
        told("head", head(), clip, spreads)
    told("head", head(2), 0.5, 0.0)
    for number in (1, 2, 3):
        told("trap", set_up(head(number), shape_of_images()), 0.5, 0.0)


if __name__ == "__main__":
    main()
