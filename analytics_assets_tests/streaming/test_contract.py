"""JSON Schema and Spark give the same verdict: both come from one declaration."""

import json
from random import Random
from typing import Any

import jsonschema
import pytest

from analytics_assets.streaming.contract import (
    FIELDS,
    NAMES,
    columns,
    json_schema,
    parse_schema,
    reasons,
)

GOOD = {
    "event_id": "e1",
    "event_type": "purchase",
    "event_time": "2024-03-01T10:00:00Z",
    "customer_id": "C1",
    "session_id": "s1",
    "page_url": "/p",
    "user_agent": "a",
    "properties": {"a": 1},
    "order_total": 12.5,
    "product_category": "books",
    "payment_method": "card",
    "schema_version": "1.0",
}
VALUES: tuple[Any, ...] = (
    *(None, "", "x", " ", 0, 5, -1, 1.5, True, [], [1], {}, {"a": 1}, "{", "[a", "12.50", "1e3"),
    *("2024-03-01T10:00:00", "2024-03-01T10:00:00+01:00", "2024-03-01 10:00:00Z", "yesterday"),
    *("1.0", "1.99", "2.0", "1", "v1", "page_view", "purchase", "a" * 5000),
)
MISSING = object()


def mutations(count: int) -> list[dict[str, Any]]:
    """Events with one or two fields that have another value, or none."""
    random = Random(1)
    found = [GOOD, {**GOOD, "more": [1, {"b": 2}]}]
    for name in NAMES:
        found += [{**GOOD, name: value} for value in VALUES]
        found.append({key: value for key, value in GOOD.items() if key != name})
    while len(found) < count:
        changed = dict(GOOD)
        for name in random.sample(NAMES, 2):
            value = random.choice((*VALUES, MISSING))
            if value is MISSING:
                changed.pop(name, None)
            else:
                changed[name] = value
        found.append(changed)
    return found


def test_the_schema_is_valid_and_names_each_field() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert list(schema["properties"]) == [field.name for field in FIELDS]
    jsonschema.validate(GOOD, schema)


@pytest.mark.slow
def test_both_give_the_same_verdict(spark: Any) -> None:
    from pyspark.sql import functions as fn

    events = mutations(2_000)
    rows = [(number, json.dumps(event).encode()) for number, event in enumerate(events)]
    frame = (
        spark.createDataFrame(rows, "number int, value binary")
        .withColumn("text", fn.expr("value::STRING"))
        .withColumn("event", fn.from_json("text", parse_schema()))
        .select("number", reasons("value", "text", "event").alias("reasons"))
    )
    said = {row.number: row.reasons for row in frame.collect()}
    validator = jsonschema.Draft202012Validator(json_schema())
    differ = [
        (event, said[number])
        for number, event in enumerate(events)
        if validator.is_valid(event) != (said[number] == "")
    ]
    assert differ == []
    assert 0 < sum(not why for why in said.values()) < len(events)


@pytest.mark.slow
def test_money_is_no_float_on_the_way(spark: Any) -> None:
    from pyspark.sql import functions as fn

    texts = ["0.1", "12.10", "99999999999.9999", '"7.5"', "1e2", "0.00005"]
    rows = [(f'{{"order_total": {text}}}',) for text in texts]
    frame = spark.createDataFrame(rows, "text string").withColumn(
        "event", fn.from_json("text", parse_schema())
    )
    found = [str(row[0]) for row in frame.select(columns("event")["order_total"]).collect()]
    assert found == ["0.1000", "12.1000", "99999999999.9999", "7.5000", "100.0000", "0.0001"]
