"""A soak: many rounds over real streams with clients that fail at random, and the books kept.

``faults`` makes a channel fail, ``client`` is the process of one client, ``processes`` starts and ends them,
``rounds`` trains and injects faults, and ``resources`` sees what grows.
"""
