"""The one error that bad data raises, so that callers can tell it from a defect of the program."""


class DataError(ValueError):
    """Data that cannot be used: the message names the file or setting and says what to do."""
