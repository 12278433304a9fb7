"""The generated sample: same seed same bytes, every planted row found again, known process."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import hyp2f1

from analytics_assets.sources.sample import write_sample
from analytics_assets.sources.sample_dirt import (
    ORDER_DIRT,
    SESSION_DIRT,
    UNREADABLE_DATE,
    UNREADABLE_PRICE,
    UNREADABLE_QUANTITY,
)

SMALL: dict[str, Any] = {"customers": 300, "months": 6}
KEY = ["order_id", "line_number"]


def _read(out: Path, name: str) -> pd.DataFrame:
    """A table as text, with the relative name of the file of each row."""
    files = (
        [out / f"{name}.csv"] if (out / f"{name}.csv").exists() else sorted(out.glob(f"{name}/*"))
    )
    frames = [
        pd.read_csv(file, dtype=str, keep_default_na=False).assign(file=str(file.relative_to(out)))
        for file in files
    ]
    return pd.concat(frames, ignore_index=True)


def _bytes(out: Path) -> dict[str, bytes]:
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    # More customers than elsewhere, so that most kinds are planted more than once.
    out = tmp_path_factory.mktemp("sample") / "made"
    return out, write_sample(out, customers=2000, months=6)


@pytest.fixture(scope="module")
def orders(sample: tuple[Path, dict]) -> pd.DataFrame:
    return _read(sample[0], "orders")


def _found(out: Path, orders: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The dirty rows by kind, found by what is wrong with them and not by the manifest."""
    quantity, price, amount = (
        pd.to_numeric(orders[column], errors="coerce")
        for column in ["quantity", "unit_price", "amount"]
    )
    quantity = quantity.where(quantity % 1 == 0)
    again = orders.duplicated(["file", *KEY])
    same = orders.duplicated()
    customers, products = (set(_read(out, t)[f"{t[:-1]}_id"]) for t in ("customers", "products"))
    no_customer = orders["customer_id"] == ""
    masks = {
        "exact_duplicate": same,
        "same_key_new_content": again & ~same,
        "orphan_customer": ~orders["customer_id"].isin(customers) & ~no_customer,
        "orphan_product": ~orders["product_id"].isin(products),
        "missing_customer": no_customer,
        "missing_amount": orders["amount"] == "",
        "amount_mismatch": (quantity * price - amount).abs() > 0.005,
        "zero_price": price == 0,
        "negative_price": price < 0,
        "zero_quantity": orders["quantity"] == "0",
        "unreadable_quantity": quantity.isna(),
        "unreadable_price": price.isna(),
        "unreadable_date": orders["ordered_at"].isin(UNREADABLE_DATE),
        "missing_date": orders["ordered_at"] == "",
        "outlier_quantity": quantity >= 100,
    }
    sessions = _read(out, "user_sessions")
    session_masks = {
        "session_orphan_customer": ~sessions["customer_id"].isin(customers | {""}),
        "session_unreadable_start": sessions["started_at"].isin(UNREADABLE_DATE),
    }
    found = {kind: orders[mask] for kind, mask in masks.items()}
    return found | {kind: sessions[mask] for kind, mask in session_masks.items()}


def test_every_planted_row_is_found_again_and_no_other(sample, orders) -> None:
    out, manifest = sample
    found = _found(out, orders)
    assert list(manifest["dirty"]) == [*ORDER_DIRT, *SESSION_DIRT] == list(found)
    assert {kind: len(rows) for kind, rows in found.items()} == manifest["dirty"]
    assert min(manifest["dirty"].values()) >= 1 and max(manifest["dirty"].values()) >= 10

    listed = _read(out, "dirty_rows").drop(columns="file")
    listed["file"] = pd.read_csv(out / "dirty_rows.csv", dtype=str)["file"]
    columns = ["kind", "file", *KEY, "session_id"]
    expected = pd.concat([rows.assign(kind=kind) for kind, rows in found.items()])
    expected = expected.reindex(columns=columns).fillna("")
    pd.testing.assert_frame_equal(
        listed[columns].sort_values(columns, ignore_index=True),
        expected.sort_values(columns, ignore_index=True),
    )


def test_kinds_do_not_meet_in_one_row(sample, orders) -> None:
    found = _found(sample[0], orders)
    keys = pd.concat([found[kind][KEY] for kind in ORDER_DIRT])
    assert not keys.duplicated().any()
    # Only a repeated key may stand more than once among the rows of a dirtied key.
    rows = orders.merge(keys)
    copies = len(found["exact_duplicate"]) + len(found["same_key_new_content"])
    assert len(rows) == len(keys) + copies
    assert set(rows["status"]) == {"completed"}


def test_unreadable_values_are_all_used(orders) -> None:
    assert set(UNREADABLE_QUANTITY) <= set(orders["quantity"])
    assert set(UNREADABLE_PRICE) <= set(orders["unit_price"])
    assert set(UNREADABLE_DATE) <= set(orders["ordered_at"])


def test_newer_content_is_newer(orders) -> None:
    newer = orders[orders.duplicated(["file", *KEY]) & ~orders.duplicated()]
    older = orders.drop_duplicates(KEY).merge(newer, on=KEY, suffixes=("", "_new"))
    assert (older["updated_at_new"] > older["updated_at"]).all()
    assert (older["quantity_new"] != older["quantity"]).all()


def test_files_headers_and_rows(sample, orders) -> None:
    out, manifest = sample
    columns = {
        "orders": "order_id line_number ordered_at customer_id product_id product_category"
        " quantity unit_price amount status updated_at",
        "user_sessions": "session_id customer_id started_at ended_at page_views device channel"
        " updated_at",
        "customers": "customer_id email first_name last_name registered_at country city updated_at",
        "products": "product_id product_name category list_price unit_cost updated_at",
        "dirty_rows": "kind file order_id line_number session_id",
    }
    assert (manifest["start"], manifest["end"]) == ("2024-01-01", "2024-07-01")
    for name, header in columns.items():
        files = [out / f"{name}.csv"]
        if name in ("orders", "user_sessions"):
            days = pd.date_range(manifest["start"], manifest["end"], inclusive="left").date
            files = [out / name / f"{name}_{day}.csv" for day in days]
            assert sorted((out / name).iterdir()) == files
        texts = [file.read_bytes().decode() for file in files]
        assert {text.split("\n")[0] for text in texts} == {header.replace(" ", ",")}
        assert all(text.endswith("\n") and "\r" not in text for text in texts)
        assert sum(text.count("\n") - 1 for text in texts) == manifest["rows"][name]
    assert set(orders["status"]) == {"pending", "completed", "cancelled", "returned"}


def test_rows_lie_in_their_day_except_late_status_changes(sample, orders) -> None:
    out, manifest = sample
    legitimate = manifest["legitimate"]
    day = pd.to_datetime(orders["file"].str[-14:-4])
    ordered = pd.to_datetime(orders["ordered_at"], format="%Y-%m-%d %H:%M:%S", errors="coerce")
    lag = (day - ordered.dt.normalize()).dt.days
    assert (orders["updated_at"].str[:10] == orders["file"].str[-14:-4]).all()
    assert (orders["updated_at"] >= orders["ordered_at"])[ordered.notna()].all()

    late = orders[lag > 0]
    assert lag.min() == 0 and lag.max() == 7
    assert len(late) == legitimate["late_status_changes"]
    assert set(late["status"]) == {"completed", "cancelled"}
    first = orders[orders["status"] == "pending"].drop(columns="file")
    pairs = late.merge(first, on=KEY, suffixes=("", "_first"))
    assert len(pairs) == len(late)
    assert len(first) - len(late) == legitimate["pending_at_end"]
    for column in ["ordered_at", "customer_id", "product_id", "quantity", "unit_price", "amount"]:
        assert (pairs[column] == pairs[f"{column}_first"]).all()

    sessions = _read(out, "user_sessions")
    good = ~sessions["started_at"].isin(UNREADABLE_DATE)
    assert (sessions["ended_at"] >= sessions["started_at"])[good].all()
    again = sessions["updated_at"] != ""
    in_file = sessions["file"].str[-14:-4]
    assert (sessions["started_at"].str[:10] == in_file)[good & ~again].all()
    assert (sessions["updated_at"].str[:10] == in_file)[again].all()
    assert sessions["session_id"][~again].is_unique
    assert again.sum() == legitimate["visits_signed_in_later"] > 1
    before = sessions[~again].merge(sessions[again], on="session_id", suffixes=("_before", ""))
    assert len(before) == again.sum()
    assert set(before["customer_id_before"]) == {""} and "" not in set(before["customer_id"])
    assert (before["started_at_before"] == before["started_at"]).all()
    lag = pd.to_datetime(before["file"].str[-14:-4]) - pd.to_datetime(before["started_at"].str[:10])
    assert lag.dt.days.between(1, 7).all()


def test_returns_and_cancellations(sample, orders) -> None:
    legitimate = sample[1]["legitimate"]
    returned = orders["status"] == "returned"
    assert returned.sum() == legitimate["returns"] > 0
    assert (orders["quantity"].str.startswith("-") == returned).all()
    assert (orders["status"] == "cancelled").sum() == legitimate["cancellations"] > 0
    assert orders["line_number"].astype(int).between(1, 6).all()


def test_customers_without_orders_exist(sample, orders) -> None:
    out, manifest = sample
    customers = _read(out, "customers")
    assert len(customers) == 2000
    assert customers["customer_id"].is_unique and customers["email"].is_unique
    without = ~customers["customer_id"].isin(orders["customer_id"])
    assert without.sum() == manifest["legitimate"]["customers_without_order"]
    assert 0.07 < without.mean() < 0.2
    registered = customers.set_index("customer_id")["registered_at"]
    known = orders[orders["customer_id"].isin(registered.index) & (orders["ordered_at"] != "")]
    known = known[~known["ordered_at"].isin(UNREADABLE_DATE)]
    assert (known["ordered_at"] >= known["customer_id"].map(registered)).all()
    sessions = _read(out, "user_sessions")
    assert 0.1 < (sessions["customer_id"] == "").mean() < 0.4


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path: Path) -> None:
    for name, seed in {"a": 1, "b": 1, "c": 2}.items():
        write_sample(tmp_path / name, **SMALL, seed=seed)
    first, second, other = (_bytes(tmp_path / name) for name in "abc")
    assert first == second
    assert all(first[name] != other[name] for name in ["customers.csv", "dirty_rows.csv"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def _expected_repeats(t: np.ndarray, r: float, alpha: float, a: float, b: float) -> np.ndarray:
    """E[X(t)] of BG/NBD, equation 9 of Fader, Hardie, Lee (2005)."""
    z = t / (alpha + t)
    return (a + b - 1) / (a - 1) * (1 - (1 - z) ** r * hyp2f1(r, b, a + b - 1, z))


def test_repeat_orders_follow_bg_nbd(tmp_path: Path) -> None:
    manifest = write_sample(tmp_path / "s", customers=6000, months=12, seasonality=0.0)
    process = {name: manifest["process"][name] for name in ("r", "alpha", "a", "b")}
    lines = _read(tmp_path / "s", "orders")
    lines["time"] = pd.to_datetime(lines["ordered_at"], format="%Y-%m-%d %H:%M:%S", errors="coerce")
    last = lines.drop_duplicates(KEY, keep="last")
    known = last["customer_id"].isin(_read(tmp_path / "s", "customers")["customer_id"])
    sales = last[last["status"].isin(["completed", "pending"]) & known & last["time"].notna()]
    times = sales.drop_duplicates("order_id").groupby("customer_id")["time"]
    repeats = times.size().to_numpy() - 1
    weeks = ((pd.Timestamp(manifest["end"]) - times.min()) / pd.Timedelta(weeks=1)).to_numpy()

    expected = _expected_repeats(weeks, **process)
    assert repeats.mean() == pytest.approx(expected.mean(), rel=0.06)
    # Heterogeneity: one rate for all would leave far fewer customers without a repeat order.
    none = (process["alpha"] / (process["alpha"] + weeks)) ** process["r"]
    assert (repeats == 0).mean() == pytest.approx(none.mean(), abs=0.02)
    assert none.mean() > np.exp(-expected).mean() + 0.1
    # It holds for early and for late customers alike.
    early = weeks > np.median(weeks)
    for part in (early, ~early):
        assert repeats[part].mean() == pytest.approx(expected[part].mean(), rel=0.1)
    assert manifest["process"]["max_time_shift_days"] == 0


def test_season_moves_orders_but_not_their_number(tmp_path: Path) -> None:
    rows = {}
    for seasonality in (0.0, 1.0):
        out = tmp_path / str(seasonality)
        rows[seasonality] = write_sample(out, 3000, 12, seasonality=seasonality)["rows"]["orders"]
    assert rows[1.0] == pytest.approx(rows[0.0], rel=0.02)
    hour = _read(out, "orders")["ordered_at"].str[11:13]
    assert (hour == "18").sum() > 3 * (hour == "06").sum()


def test_repeat_call_writes_nothing_and_other_arguments_replace(tmp_path: Path) -> None:
    out = tmp_path / "s"
    manifest = write_sample(out, **SMALL)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert write_sample(out, **SMALL) == manifest
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    other = write_sample(out, 100, 1, start=date(2024, 1, 31))
    assert (other["start"], other["end"]) == ("2024-01-31", "2024-02-29")
    assert len(list(out.glob("orders/*.csv"))) == 29
    assert list(tmp_path.iterdir()) == [out]


def test_a_failed_run_leaves_what_was_there(tmp_path: Path, monkeypatch) -> None:
    write_sample(tmp_path / "s", **SMALL)
    before = _bytes(tmp_path / "s")

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("analytics_assets.sources.sample._customers", full)
    with pytest.raises(OSError, match="No space"):
        write_sample(tmp_path / "s", **SMALL, seed=8)
    assert _bytes(tmp_path / "s") == before
    assert list(tmp_path.iterdir()) == [tmp_path / "s"]


@pytest.mark.parametrize("content", [None, "not json", "[]", '{"generator": "something else"}'])
def test_a_foreign_directory_is_refused(tmp_path: Path, content: str | None) -> None:
    (tmp_path / "theirs.csv").write_text("kept")
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    before = _bytes(tmp_path)
    with pytest.raises(ValueError, match=r"not a generated sample.*another directory"):
        write_sample(tmp_path, **SMALL)
    assert _bytes(tmp_path) == before


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("customers", 0),
        ("months", 0),
        ("seed", -1),
        ("seasonality", 1.1),
        ("seasonality", float("nan")),
    ],
)
def test_bad_arguments_are_named(tmp_path: Path, argument: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{argument} must"):
        write_sample(tmp_path / "s", **{argument: value})
    assert not list(tmp_path.iterdir())


def test_a_single_customer_gives_whole_files(tmp_path: Path) -> None:
    for seed in range(4):
        manifest = write_sample(tmp_path / str(seed), 1, 1, seed)
        assert manifest["rows"]["customers"] == 1
        assert len(list((tmp_path / str(seed) / "orders").iterdir())) == 31
