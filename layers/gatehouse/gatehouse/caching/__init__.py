"""The shared response cache (RFC 9111): what may be kept, for whom, and where it is kept."""
