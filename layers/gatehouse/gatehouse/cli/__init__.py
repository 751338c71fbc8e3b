"""The command line for operators: `python -m gatehouse …`. It needs Typer, which the functions do not carry."""
