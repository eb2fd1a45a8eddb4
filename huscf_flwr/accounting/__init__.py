"""How much of the privacy of images is spent by what is computed of them, and what noise it takes."""

from huscf_flwr.accounting.accountant import check_accounting, epsilon_of, noise_multiplier_for
from huscf_flwr.accounting.releases import BudgetSpentError, Releases

__all__ = ["BudgetSpentError", "Releases", "check_accounting", "epsilon_of", "noise_multiplier_for"]
