"""The ``huscf`` command, one file a subcommand."""
