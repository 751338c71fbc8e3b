"""What `make bench` runs: the gateway measured beside its peers, on one machine, in one run."""
