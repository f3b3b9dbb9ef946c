"""The state-space model that users define, and its compiled functions."""
