"""Where time is measured, and nowhere else: ``huscf bench``."""
