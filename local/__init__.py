"""`make run`: the Lambda functions on this machine, with their stores and demo upstreams. Nothing of it is deployed."""
