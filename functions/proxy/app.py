"""Every path that no other function owns: project files become pipelines, behind one ASGI application."""

from __future__ import annotations

import os

from gatehouse import edge
from gatehouse.build import gateway
from gatehouse.kit import Kit
from gatehouse.lambda_http import lambda_function
from gatehouse.settings import read

kit = Kit(read(os.environ))
kit.start()
app = edge.application(gateway(kit.served, kit), most_bytes=kit.settings.max_request_bytes, close=kit.close)
handler = lambda_function(app)
