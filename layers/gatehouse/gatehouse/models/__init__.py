"""Calls of language models: what a client may ask one for, how many tokens that took, and whose budget they come from.

Nothing in here calls a model. Requests are judged (`requests`), what answers say of their cost is read as they pass
(`reading`, `events`), and `metering` keeps account of it, by what `budgets` says.
"""
