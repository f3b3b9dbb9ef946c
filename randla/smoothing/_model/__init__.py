"""The state-space model that users write, and its compiled functions."""
