"""The same application, listening for the Lambda Web Adapter: `start` runs this where its answers can stream."""

from __future__ import annotations

import os

from app import app

from gatehouse.adapter import serve

if __name__ == "__main__":
    serve(app, os.environ)
