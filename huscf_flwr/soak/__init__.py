"""``huscf soak``: many rounds over real streams with clients that fail at random, and the books kept.

``faults`` makes a channel fail, ``client`` is the process of one client, ``rounds`` trains and injects
faults, and ``command`` shows what came of it.
"""
