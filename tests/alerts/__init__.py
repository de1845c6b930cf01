"""``make e2e-alerts``: each thing is broken for real on a cluster; its alert fires, explains itself, and clears."""
