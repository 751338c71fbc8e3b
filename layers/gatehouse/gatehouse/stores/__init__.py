"""Where things are kept. boto3 is imported inside: only functions that keep something pay for it."""
