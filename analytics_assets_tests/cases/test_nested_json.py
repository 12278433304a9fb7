"""Orders of an API: arrays, and lines within an order."""

import json
from typing import Any

import pytest

from analytics_assets.sources.load import DayLoad, LoadResult
from analytics_assets.sources.readers import SourceError
from analytics_assets_tests.cases.test_text_files import configured, gross, rejected, zipped
from analytics_assets_tests.sources.conftest import Source


def order(number: int, *items: Any, **more: Any) -> dict[str, Any]:
    """An order with its items: product, quantity, price."""
    lines = [{"sku": sku, "quantity": n, "price": price} for sku, n, price in items]
    return {"name": f"#{number}", "created_at": "2024-01-10T10:00:00-05:00",
            "customer": {"id": 70 + number}, "line_items": lines, **more}  # fmt: skip


ORDERS = [order(1, ("MUG", 1, "9.50"), ("BOWL", 2, "20.25")), order(2, ("MUG", 3, "9.00"))]
GROSS = 77.0
PATHS = {
    "order_id": "name", "ordered_at": "created_at", "customer_id": "$.customer.id",
    "product_id": "$.line_items[*].sku", "quantity": "$.line_items[*].quantity",
    "unit_price": "$.line_items[*].price",
}  # fmt: skip
NAMES = {name: path.replace("$.line_items[*]", "line_items") for name, path in PATHS.items()}


def of_lines(orders: list[Any]) -> str:
    return "".join(json.dumps(one) + "\n" for one in orders)


def load(source: Source, text: str, path: str = "orders.jsonl", **words: Any) -> LoadResult:
    source.write(path, text)
    return source.load(configured(source, path, **{"columns": PATHS, **words}))


@pytest.mark.parametrize("columns", [PATHS, NAMES], ids=["paths", "names"])
@pytest.mark.parametrize("lines", ["line_items", "$.line_items", "$.line_items[*]"])
def test_each_item_is_a_row_and_the_order_repeats(
    source: Source, columns: dict[str, str], lines: str
) -> None:
    result = load(source, of_lines(ORDERS), lines=lines, columns=columns)
    assert result.total == DayLoad(3, 3, 0)
    assert gross(source) == GROSS
    assert source.rows(
        "SELECT order_id, customer_id, product_id, quantity, source_row FROM raw.raw_orders "
        "ORDER BY source_row"
    ) == [("#1", "71", "MUG", 1, 1), ("#1", "71", "BOWL", 2, 2), ("#2", "72", "MUG", 3, 3)]
    assert result.warnings == ("columns that nothing reads: customer",)


def test_a_list_below_another_member(source: Source) -> None:
    orders = [{**one, "cart": {"id": 1, "line_items": one["line_items"]}} for one in ORDERS]
    columns = {name: path.replace("line_items", "cart.line_items") for name, path in PATHS.items()}
    load(source, of_lines(orders), lines="cart.line_items", columns=columns)
    assert gross(source) == GROSS


def test_orders_without_items_give_no_row_and_are_counted(source: Source) -> None:
    empty: list[Any] = [order(3), {**order(4), "line_items": None}, {"name": "#5"}]
    result = load(source, of_lines([*empty, *ORDERS]), lines="line_items")
    assert result.total == DayLoad(3, 3, 0)
    warning = "orders.jsonl: 3 objects without an item of line_items, which give no row"
    assert warning in result.warnings


def test_rows_are_accounted_for_by_item_with_the_line_of_their_order(source: Source) -> None:
    bad = order(3, ("CUP", "x", "1"), ("CUP", 1, "1"))
    odd: list[Any] = [{**order(4), "line_items": {"sku": "A"}}, {**order(5), "line_items": [7]}]
    text = of_lines([ORDERS[0], bad]) + "\n{\n" + of_lines([*odd, ORDERS[1]])
    result = load(source, text, lines="line_items")
    assert result.total == DayLoad(8, 4, 4)
    found = rejected(source)
    assert [row[:3] for row in found] == [
        (3, 2, "quantity: not a whole number of 32 bits"),
        (5, 4, "not a JSON object, or one with a member twice"),
        (6, 5, "line_items is no list"),
        (7, 6, "an item of line_items is no object"),
    ]
    assert json.loads(found[0][3])["line_items"]["quantity"] == "x"
    assert json.loads(found[3][3])["line_items"] == [7]


def test_without_lines_a_path_to_a_list_names_the_word(source: Source) -> None:
    with pytest.raises(SourceError, match="Write `lines: line_items` of orders"):
        load(source, of_lines(ORDERS))
    with pytest.raises(SourceError, match="leads to several values"):
        load(source, of_lines(ORDERS), columns={**PATHS, "product_id": "$..sku"})


def test_one_item_of_many_is_a_warning(source: Source) -> None:
    columns = {name: path.replace("[*]", "[0]") for name, path in PATHS.items()}
    result = load(source, of_lines(ORDERS), columns=columns)
    said = [warning for warning in result.warnings if "`lines: line_items`" in warning]
    assert said == ["$.line_items has up to 2 items, of which one is read: `lines: line_items` "
                    "makes each item a row"]  # fmt: skip


def test_a_list_that_no_object_has_is_an_error(source: Source) -> None:
    with pytest.raises(SourceError, match="no object has a list with an item at items"):
        columns = {name: path.replace("line_items", "items") for name, path in PATHS.items()}
        load(source, of_lines(ORDERS), lines="items", columns=columns)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("begin", ["", "\ufeff", "\r\n "])
def test_an_array_is_read_as_its_objects(source: Source, indent: int | None, begin: str) -> None:
    text = begin + json.dumps([*ORDERS, 7], indent=indent)
    result = load(source, text.replace("\n", "\r\n"), "orders.json", lines="line_items")
    assert result.total == DayLoad(4, 3, 1)
    assert gross(source) == GROSS
    assert rejected(source) == [(4, None, "not a JSON object, or one with a member twice", "7")]
    load(source, of_lines(ORDERS), "orders.json", lines="line_items")
    assert gross(source) == GROSS


def test_an_empty_array_has_no_rows(source: Source) -> None:
    result = load(source, "[ ]", "orders.json", lines="line_items")
    assert (result.total, result.warnings) == (
        DayLoad(0, 0, 0), ("orders.json: an array without objects",))  # fmt: skip


@pytest.mark.parametrize("cut", [1, 2, 20])
def test_a_cut_array_is_an_error(source: Source, cut: int) -> None:
    with pytest.raises(SourceError, match="is no whole JSON array"):
        load(source, json.dumps(ORDERS)[:-cut], "orders.json", lines="line_items")


def test_an_array_declared_as_lines_names_the_format(source: Source) -> None:
    with pytest.raises(SourceError, match="Write `format: json`"):
        load(source, json.dumps(ORDERS, indent=1), lines="line_items")


def test_a_member_of_a_zip(source: Source) -> None:
    content = zipped(**{"a.json": json.dumps(ORDERS), "b.json": "[]"})
    source.write("orders.json.zip", content)
    words = {"columns": PATHS, "lines": "line_items", "member": "a.json"}
    source.load(configured(source, "orders.json.zip", **words))
    assert gross(source) == GROSS
