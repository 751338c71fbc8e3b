"""`GET /ping`, `/ready`, `/metrics`: for monitors and for Prometheus. Whatever is broken, this starts and says so."""

from __future__ import annotations

import os
import time

from gatehouse import edge, metrics, snapshot
from gatehouse.clock import Elapsed
from gatehouse.kit import Kit
from gatehouse.lambda_http import lambda_function
from gatehouse.settings import read
from gatehouse.status import metrics_page, ready_page
from gatehouse.status.fleet import Fleet
from gatehouse.status.inspection import Inspection
from gatehouse.status.pages import pages, ping
from gatehouse.status.probes import Stores
from gatehouse.stores import aws_json
from gatehouse.stores.metrics import read as read_metrics

MOST_BYTES = 1024
"""Nobody has anything to send here."""

kit = Kit(read(os.environ))
stores = Stores(
    secret_arn=kit.settings.secret_arn,
    tokens_table=kit.settings.tokens_table,
    admins_bucket=kit.settings.admins_bucket,
    cache_table=kit.settings.cache_table,
    usage_table=kit.settings.usage_table,
    wall=time.time,
)
inspection = Inspection(kit, stores, Elapsed(time.time, time.monotonic))
fleet = Fleet(kit.settings.metrics_namespace, read_metrics, time.time, time.monotonic)
# Not kit.start(): a key ring that nobody should trust stops the others, and here it is what there is to say.
metrics.publish(kit.settings.metrics_namespace, kit.settings.environment)
snapshot.hook(os.environ, aws_json.close)
handle = pages(
    kit,
    {
        "/ping": ping,
        "/ready": ready_page.ready(kit, inspection),
        "/metrics": metrics_page.metrics(kit, fleet),
    },
)
app = edge.application(handle, most_bytes=MOST_BYTES, close=kit.close)
handler = lambda_function(app)
