"""What the gateway's own addresses under /auth take and answer, as models, and their OpenAPI document."""
