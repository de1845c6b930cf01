"""The chart and the operator on a real cluster, as a user installs them."""
