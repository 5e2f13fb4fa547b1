"""Set the numbers of a model so that it reproduces published rates."""

from bayesnet.calibration.leaks import SolvedLeak, solve_leaks, write_leaks

__all__ = ["SolvedLeak", "solve_leaks", "write_leaks"]
