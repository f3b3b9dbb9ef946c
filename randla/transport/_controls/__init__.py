"""Control variates with a known mean, and the regression of costs on them."""
