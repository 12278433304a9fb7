"""The results of the benchmarks: a table, a chart, and where the time of a run went."""

import json
import os
import platform
from collections import defaultdict
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

MARKS = ("<!-- results of make bench -->", "<!-- end of results of make bench -->")
LIMITS = {  # by the figure's name in the table
    "full backfill, this project / hand-written DuckDB": 1.5,
    "full backfill, this project / pandas and JSON": 0.5,
    "ten times the lines, time": 11,
    "a day's refresh on ten times the history": 1.5,
    "365 days as one backfill / one day": 4,
    "44 corrected lines on 43 days of one file / a full load of it": 1.5,
    "nothing to do": "12 s",
    "memory peak of a full backfill": "3 GB",
    "all checks, share of the steps of a full backfill": "25%",
}


def machine() -> dict[str, Any]:
    """Processor, memory and versions."""
    models = [
        line.split(": ")[1]
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ("duckdb", "dagster", "dbt-core", "dbt-duckdb", "pandas", "scikit-learn")
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory": f"{memory:.0f} GiB",
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
    }


def steps_of(home: Path) -> dict[str, dict[str, float]]:
    """Seconds of each step, of each dbt model, and of the checks by family, in the last backfill.

    They are from Dagster's own records: the runs of the last backfill begin with `load_days`.
    """
    from dagster import DagsterEventType, DagsterInstance

    wanted = {DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_CHECK_EVALUATION}
    seconds_of: dict[str, dict[str, float]] = {
        "steps": {},
        "models": {},
        "checks": defaultdict(float),
    }
    with DagsterInstance.from_config(str(home / "dagster")) as instance:
        for record in instance.get_run_records():  # newest first
            run = record.dagster_run
            for step in instance.get_run_step_stats(run.run_id):
                if step.start_time and step.end_time:
                    seconds = step.end_time - step.start_time
                    seconds_of["steps"][f"{run.job_name}: {step.step_key}"] = round(seconds, 2)
            for entry in instance.all_logs(run.run_id, of_type=wanted):
                event = entry.get_dagster_event()
                if event.event_type == DagsterEventType.ASSET_MATERIALIZATION:
                    materialization = event.step_materialization_data.materialization
                    seconds = _number(materialization.metadata, "Execution Duration")
                    if seconds is not None:
                        seconds_of["models"][materialization.asset_key.path[-1]] = round(seconds, 2)
                else:
                    check = event.asset_check_evaluation_data
                    family = check.metadata.get("family")
                    seconds = _number(check.metadata, "seconds", "Execution Duration")
                    seconds_of["checks"][str(family.value) if family else "dbt"] += seconds or 0
            if run.job_name == "load_days":
                break
    seconds_of["checks"] = {
        name: round(seconds, 2) for name, seconds in seconds_of["checks"].items()
    }
    return seconds_of


def _number(values: Any, *names: str) -> float | None:
    for name in names:
        if name in values and isinstance(values[name].value, int | float):
            return float(values[name].value)
    return None


def write_report(results: dict[str, Any], folder: Path, page: Path) -> None:
    """Write results.json, results.md and results.png, and the table between its marks in a page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    table = _table(results)
    (folder / "results.md").write_text("\n\n".join([table, *_steps(results)]) + "\n")
    _chart(results, folder / "results.png")
    begin, end = MARKS
    before, mark, rest = page.read_text().partition(begin)
    if mark:
        after = rest.partition(end)[2]
        page.write_text(f"{before}{begin}\n{table}\n{end}{after}")


def _table(results: dict[str, Any]) -> str:
    lines = ["| figure | measured | limit |", "|---|---|---|"]

    def row(figure: str, measured: str) -> None:
        limit = LIMITS.get(figure)
        lines.append(f"| {figure} | {measured} | {'' if limit is None else limit} |")

    def ratio(figure: str, times: dict[str, float]) -> None:
        row(figure, f"{times['wall']:.2f} (CPU {times['cpu']:.2f})")

    contest = results.get("contest")
    if contest:
        for name, who in (("ours", "this project"), ("limit", "hand-written DuckDB")):
            row(f"full backfill of {contest['lines']:,} lines, {who}", _cost(contest[name]))
        row(
            f"the same of {contest['by_hand_lines']:,} lines, pandas and JSON",
            _cost(contest["by_hand"]),
        )
        ratio("full backfill, this project / hand-written DuckDB", contest["ours / limit"])
        ratio("full backfill, this project / pandas and JSON", contest["ours / by hand"])
        row("memory peak of a full backfill", f"{contest['ours']['peak']:.1f} GB")
    shops = results.get("backfills", {})
    if len(shops) > 1:
        few, many = min(shops.values(), key=_lines), max(shops.values(), key=_lines)
        millions = (many["lines"] - few["lines"]) / 1e6
        further = {name: (many[name] - few[name]) / millions for name in ("wall", "cpu")}
        row("each further million lines", f"{further['wall']:.1f} s, {further['cpu']:.1f} s CPU")
    if shops:
        largest = results["steps"][max(shops, key=lambda name: shops[name]["lines"])]
        row("all checks, share of the steps of a full backfill", f"{_checks_share(largest):.0%}")
    growth = results.get("growth")
    if growth:
        row(f"full backfill of {growth['lines'][1]:,} lines", _cost(growth["costs"][1]))
        ratio("ten times the lines, time", growth["ratio"])
    increment = results.get("increment")
    if increment:
        for lines_, cost in zip(increment["history"], increment["costs"], strict=True):
            row(f"a day's refresh on {lines_:,} lines of history", _cost(cost))
        ratio("a day's refresh on ten times the history", increment["ratio"])
    for name, cost in results.get("fixed", {}).items():
        row(name, _cost(cost))
    days = results.get("days")
    if days:
        row("one day again", _cost(days["one"]))
        row("365 days again", _cost(days["365"]))
        ratio("365 days as one backfill / one day", days["ratio"])
    years = results.get("years")
    if years:
        row(f"{years['lines']:,} lines over five years of days", _cost(years["costs"][1]))
        ratio("five years of days / two", years["ratio"])
    scattered = results.get("scattered")
    if scattered:
        row(f"full load of one file of {scattered['lines']:,} lines", _cost(scattered["full"]))
        row("44 lines of 43 of its days corrected", _cost(scattered["correction"]))
        ratio("44 corrected lines on 43 days of one file / a full load of it", scattered["ratio"])
    customers = results.get("customers")
    if customers:
        row(
            f"{customers['customers']:,} customers, {customers['lines']:,} lines",
            _cost(customers["cost"]),
        )
    versions = ", ".join(f"{name} {value}" for name, value in results["machine"].items())
    return "\n".join([f"By `python benchmarks/run.py` on: {versions}.", "", *lines])


def _steps(results: dict[str, Any]) -> Iterator[str]:
    """Where the time of each full backfill went."""
    for shop, seconds_of in results.get("steps", {}).items():
        checks, share = sum(seconds_of["checks"].values()), _checks_share(seconds_of)
        lines = [f"The full backfill of {shop}:", "", "| step or model | seconds |", "|---|---|"]
        for kind in ("steps", "models"):
            slow = sorted(seconds_of[kind].items(), key=lambda item: -item[1])
            lines += [f"| {name} | {seconds:.1f} |" for name, seconds in slow if seconds >= 0.5]
        yield "\n".join([*lines, f"| all checks ({share:.0%} of the steps) | {checks:.1f} |"])


def _lines(backfill: dict[str, float]) -> float:
    return backfill["lines"]


def _checks_share(seconds_of: dict[str, dict[str, float]]) -> float:
    return sum(seconds_of["checks"].values()) / sum(seconds_of["steps"].values())


def _cost(cost: dict[str, float]) -> str:
    return (
        f"{cost['wall']:.0f} s, {cost['cpu']:.0f} s CPU, {cost['peak']:.1f} GB peak, "
        f"{cost['written']:.1f} GB written"
    )


def _chart(results: dict[str, Any], path: Path) -> None:
    """Draw bars of the contest, and where the time of the project's backfill went."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    contest = results.get("contest")
    if contest:
        names = {"limit": "hand-written\nDuckDB", "ours": "this project", "by_hand": "pandas, JSON"}
        times = [contest[name]["wall"] for name in names]
        times[2] *= contest["lines"] / contest["by_hand_lines"]
        if contest["lines"] > 1.5 * contest["by_hand_lines"]:
            names["by_hand"] += f"\n(from {contest['by_hand_lines']:,} lines)"
        bars = left.bar(list(names.values()), times, color=["#8aa", "#258", "#c84"])
        left.bar_label(bars, [f"{seconds:,.0f} s" for seconds in times])
        left.set_title(f"Full backfill, {contest['lines']:,} order lines")
        left.set_ylabel("seconds")
    steps = results.get("steps", {})
    if steps:
        shop, seconds_of = max(steps.items(), key=lambda item: sum(item[1]["steps"].values()))
        slow = sorted(seconds_of["steps"].items(), key=lambda item: -item[1])[:12][::-1]
        right.barh([name for name, _ in slow], [seconds for _, seconds in slow], color="#258")
        right.set_title(f"Steps of {shop.replace('-', ' ')}")
        right.set_xlabel("seconds")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
