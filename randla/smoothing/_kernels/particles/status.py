"""What kernels report instead of raising: ``info = (code, time, count)``."""

OK = 0
ALL_ZERO = 1  # every weight is zero
NAN_WEIGHT = 2  # a log weight is NaN
INFINITE_WEIGHT = 3  # a log weight is +inf
NAN_TRANSITION = 4  # log_transition is NaN or +inf
ZERO_TRANSITION = 5  # log_transition is -inf between a state and the one drawn from it
ABOVE_BOUND = 6  # log_transition exceeds its bound; the count says how often
NAN_FUNCTIONAL = 7  # the functional is NaN or infinite
INFINITE_STATE = 8  # a state that counts, or its square, is NaN or infinite
