"""The policies that a call passes on its way, one per module. `build.py` knows their order."""
