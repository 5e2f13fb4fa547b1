"""Numbers from data: the literature as the prior, local prevalence, what the data cannot say."""

from bayesnet.learning.data import log_probability
from bayesnet.learning.fit import Learning, fit
from bayesnet.learning.recalibration import recalibrate
from bayesnet.learning.selection import LearningError

__all__ = ["Learning", "LearningError", "fit", "log_probability", "recalibrate"]
