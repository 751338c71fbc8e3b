"""How the gateway is: whether it answers, whether it can work (`readiness`), and what it has done (`fleet`)."""
