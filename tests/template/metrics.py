"""Metrics that AWS publishes, of those that the template looks at, as its documentation has them.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
https://docs.aws.amazon.com/waf/latest/developerguide/waf-metrics.html
"""

from __future__ import annotations

NAMES = {
    "AWS/ApiGateway": {"4XXError", "5XXError", "Count", "IntegrationLatency", "Latency"},
    "AWS/Lambda": {"ConcurrentExecutions", "Duration", "Errors", "Invocations", "Throttles"},
    "AWS/DynamoDB": {
        "ConsumedReadCapacityUnits",
        "ConsumedWriteCapacityUnits",
        "ReadThrottleEvents",
        "WriteThrottleEvents",
    },
    "AWS/WAFV2": {"AllowedRequests", "BlockedRequests", "CountedRequests"},
}
DIMENSIONS = {
    "AWS/ApiGateway": {"ApiName", "Stage"},
    "AWS/Lambda": {"FunctionName"},
    "AWS/DynamoDB": {"TableName"},
    "AWS/WAFV2": {"Region", "Rule", "WebACL"},
}


def of_aws(namespace: str, name: str) -> set[str]:
    """Return the dimensions of a metric that AWS publishes."""
    assert name in NAMES[namespace]
    return DIMENSIONS[namespace]
