"""The formats in which people have labelled images, and how each is read; ``places`` chooses one of them."""
